//! The hashes are komihash's, and spans say what the rules say.
use super::*;

/// As other implementations of komihash have them (the crate komihash 0.5, versions 4 and 5).
#[test]
fn hashes_are_those_of_others() {
    let seen = [0, 1, 999].map(rule_hash);
    assert_eq!(seen, [0x624c_ebc5_6b59_c448, 0x7cd5_34b7_a5e9_07cc, 0x1a6b_6683_3afc_ccb2]);
    let seen = [[0; 16], *b"0123456789abcdef", [0xff; 16]].map(record_hash);
    assert_eq!(seen, [0xa064_df7f_c4b5_d1cd, 0x8f4e_ca71_6e01_5c09, 0xdf90_0402_1427_8c34]);
}

/// The rules that `hash` matches, one after the other.
fn plainly(rules: &[(u64, u64)], hash: u64) -> Vec<u32> {
    let matches = |(from, width): &(u64, u64)| (hash.wrapping_sub(*from) & (CIRCLE - 1)) < *width;
    (0..).zip(rules).filter(|(_, rule)| matches(rule)).map(|(number, _)| number).collect()
}

#[test]
fn a_record_goes_to_every_rule_that_it_matches() {
    for (rules_count, selectivity, zipf) in
        [(1_000, 0.2, 0.0), (7, 3.0, 1.0), (3, 9.0, 0.0), (1, 0.0, 0.0), (0, 0.2, 0.0)]
    {
        let rules = rules(&Config { rules: rules_count, selectivity, zipf });
        let spans = spans(&rules);
        let (mut sent, records) = (0, 20_000u128);
        let edges =
            rules.iter().flat_map(|(from, width)| [*from, from.wrapping_sub(1), from + width, from + width - 1]);
        for hash in (0..records).map(|number| record_hash(number.to_le_bytes())).chain(edges) {
            let hash = hash % CIRCLE;
            let matching = matching(&spans, hash);
            assert_eq!(matching, plainly(&rules, hash), "{rules_count} rules, hash {hash:#x}");
            sent += matching.len();
        }
        let part = sent as f64 / records as f64;
        assert!(rules_count != 1_000 || (0.19..0.42).contains(&part), "{part} go out, edges included");
    }
}
