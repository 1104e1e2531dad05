//! The functions on a trap's stack, as their author wrote them.

use weir_core::text::printable;

/// Crates whose functions stand between a panic and the code that caused it, and tell nothing of that code.
const MACHINERY: [&str; 3] = ["core", "alloc", "std"];
/// What the compiler adds: the panic handler, the allocator, and calls through them.
const GLUE: [&str; 4] = ["__rust", "rust_", "__rdl_", "__rg_"];
/// The longest name that is shown: generics may be without end.
const NAME_CHARS_MAX: usize = 200;

/// At most `most` of the functions, innermost first; those of Rust's own machinery only if there are no others.
pub(crate) fn shown(names: &[&str], most: usize) -> Vec<String> {
    let readable = || names.iter().map(|name| readable(name));
    let own = runs(readable().filter(|name| !is_machinery(name)), most);
    if own.is_empty() { runs(readable(), most) } else { own }
}

/// A function that calls itself is one line.
fn runs(names: impl Iterator<Item = String>, most: usize) -> Vec<String> {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for name in names {
        let is_full = runs.len() == most;
        match runs.last_mut() {
            Some((last, times)) if *last == name => *times += 1,
            _ if is_full => break,
            _ => runs.push((name, 1)),
        }
    }
    runs.into_iter().map(|(name, times)| if times == 1 { name } else { format!("{name} ({times} times)") }).collect()
}

/// Demangled, without the hash, in one line: the name is the guest's own choice.
fn readable(name: &str) -> String {
    let name: String = format!("{:#}", rustc_demangle::demangle(name)).chars().take(NAME_CHARS_MAX).collect();
    printable(&name).into_owned()
}

/// `core::panicking::panic_fmt`, `<alloc::vec::Vec<T> as ..>::..`, `__rustc::rust_begin_unwind`.
fn is_machinery(name: &str) -> bool {
    let path = name.trim_start_matches(['<', '&', '*', '(', '[']);
    let path = path.strip_prefix("dyn ").or_else(|| path.strip_prefix("mut ")).unwrap_or(path);
    let first = path.split("::").next().unwrap_or(path);
    GLUE.iter().any(|glue| first.starts_with(glue)) || (first != path && MACHINERY.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        for (mangled, expected) in [
            ("_RNvNtCsbmNqQUJIY6D_4core9panicking9panic_fmt", "core::panicking::panic_fmt"),
            ("_ZN9misbehave4spin17h0123456789abcdefE", "misbehave::spin"),
            ("process", "process"),
            ("two\nlines", "two\\nlines"),
        ] {
            assert_eq!(readable(mangled), expected);
        }
        assert_eq!(readable(&"x".repeat(5_000)).len(), NAME_CHARS_MAX);
    }

    #[test]
    fn the_users_own_functions_come_first() {
        let stack = [
            "__rustc[abc]::rust_start_panic",
            "std::panicking::rust_panic_with_hook",
            "<alloc::string::String as core::fmt::Write>::write_str",
            "core::panicking::panic_fmt",
            "mine::deep::inner",
            "<mine::Mine as weir_sdk::Operator>::process",
            "core::ops::function::FnOnce::call_once",
            "weir_sdk::instance::Instance<T>::process",
        ];
        let own = ["mine::deep::inner", "<mine::Mine as weir_sdk::Operator>::process"];
        assert_eq!(shown(&stack, 2), own);
        assert_eq!(shown(&stack[..4], 2), stack[..2], "better these than none");
        assert_eq!(shown(&["f", "f", "f", "g", "f"], 2), ["f (3 times)", "g"]);
        assert_eq!(shown(&["core", "std_of_mine::f"], 8), ["core", "std_of_mine::f"], "a crate of another name");
    }
}
