//! The token by which the API of a job is changed: in a file, or in the environment, and on no command line, which everybody on the
//! machine can read.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use weir_core::{Fault, PortError, Secret};

/// What holds it where no file is named.
const VARIABLE: &str = "WEIR_API_TOKEN";
/// As many characters are not guessed.
const LENGTH_MIN: usize = 16;
/// As many fit the head of a request.
const LENGTH_MAX: usize = 4096;

/// The token in `file`, or else in the environment; `None` where there is none.
pub(crate) fn read(file: Option<&Path>) -> Result<Option<Secret>> {
    let (text, place) = match file {
        Some(path) => (read_file(path)?, format!("the file {}", path.display())),
        None => match std::env::var_os(VARIABLE) {
            Some(value) => (value.into_string().unwrap_or_default(), VARIABLE.to_owned()),
            None => return Ok(None),
        },
    };
    let token = check(&text).map_err(|why| PortError::new(Fault::Config, why));
    token.map(Some).with_context(|| format!("{place} holds no token for the API"))
}

fn read_file(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LENGTH_MAX as u64 * 2).read_to_string(&mut text));
    let read = read.map_err(|error| PortError::new(Fault::Config, error));
    read.with_context(|| format!("failed to read the token of the API in {}", path.display()))?;
    Ok(text)
}

/// The end of its line is no part of it.
fn check(text: &str) -> Result<Secret, String> {
    let token = text.trim_end_matches(['\r', '\n']);
    if !(LENGTH_MIN..=LENGTH_MAX).contains(&token.len()) {
        return Err(format!(
            "a token has {LENGTH_MIN} to {LENGTH_MAX} characters, as `openssl rand -hex 32` makes them"
        ));
    }
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Secret::new(token)),
        false => Err("a token is one line of letters, digits and signs".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_that_nobody_guesses() {
        for (text, wanted) in [
            ("0123456789abcdef", Ok("0123456789abcdef")),
            ("0123456789abcdef\r\n", Ok("0123456789abcdef")),
            ("0123456789abcde\n", Err("16 to 4096 characters")),
            ("", Err("16 to 4096 characters")),
            ("0123456789 abcdef", Err("one line")),
            ("0123456789abcdef\n0123456789abcdef", Err("one line")),
            ("0123456789abcdéf", Err("one line")),
        ] {
            match (check(text), wanted) {
                (Ok(token), Ok(wanted)) => assert_eq!(token.expose(), wanted),
                (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{text:?}: {why}"),
                (found, wanted) => panic!("{text:?}: {found:?}, not {wanted:?}"),
            }
        }
        assert!(check(&"x".repeat(LENGTH_MAX + 1)).is_err());
    }

    #[test]
    fn a_file_that_is_no_token_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert_eq!(exit(&read(Some(&path)).unwrap_err()), Fault::Config);
        std::fs::write(&path, "correct horse battery staple\n").unwrap();
        let error = read(Some(&path)).unwrap_err();
        assert_eq!(exit(&error), Fault::Config);
        assert!(!format!("{error:?}").contains("horse"), "{error:?}");
        std::fs::write(&path, "correct-horse-battery-staple\n").unwrap();
        assert_eq!(read(Some(&path)).unwrap(), Some(Secret::new("correct-horse-battery-staple")));
    }

    fn exit(error: &anyhow::Error) -> Fault {
        crate::exit::fault(error)
    }
}
