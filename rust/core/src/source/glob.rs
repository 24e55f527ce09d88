//! Glob patterns, matched byte for byte so that any file name can match.
//!
//! `*` and `?` stay within a name (`?` is one character, or one byte of broken UTF-8), `[a-z]` and
//! `[!a-z]` are sets, `{jpg,png}` alternatives without nesting, `**` any number of folders. A
//! backslash is no escape (it separates on Windows): write `[*]`. Hidden names match only in the
//! part before the first wildcard.
//!
//! A pattern is a small automaton over path components: a folder's state is the set of components
//! that may come next, one bit each. `**` at i lets i+1 come next at once and stays for folders
//! below. So a walk enters a folder only if something below it can match, and sees it once.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::naming::is_image;
use crate::error::Kind;

/// Bounds the expansion of `{}{}{}`.
const MAX_ALTERNATIVES: usize = 256;
/// One bit each in a `u64`.
const MAX_COMPONENTS: usize = 63;

/// A parsed pattern: where to start, and what must follow.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The components before the first wildcard. Outputs keep their structure below it.
    pub base: PathBuf,
    components: Vec<Component>,
    /// The pattern spells out the extension, so the user named the files: any extension goes.
    names_extension: bool,
}

#[derive(Debug)]
enum Component {
    AnyFolders,
    Name(Vec<Vec<Token>>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Literal(u8),
    One,
    Many,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

fn bad(message: String) -> Kind {
    Kind::Name { message }
}

impl Pattern {
    /// Parses; None if there is no wildcard, so that it is a plain path.
    pub(super) fn parse(text: &str) -> Result<Option<Pattern>, Kind> {
        let is_wild = |part: &str| part.contains(['*', '?', '[', '{']);
        let separator = |c: char| std::path::is_separator(c);
        let Some(wild_at) = text.find(['*', '?', '[', '{']) else { return Ok(None) };
        let start = text[..wild_at].rfind(separator).map_or(0, |i| i + 1);
        let parts: Vec<&str> =
            text[start..].split(separator).filter(|p| !p.is_empty() && *p != ".").collect();
        if parts.len() > MAX_COMPONENTS {
            return Err(bad(format!("the glob has more than {MAX_COMPONENTS} parts")));
        }
        if parts.contains(&"..") {
            return Err(bad("`..` can't follow a wildcard in a glob".to_owned()));
        }
        let last = parts.last().copied().unwrap_or_default();
        let names_extension =
            last.rsplit_once('.').is_some_and(|(_, e)| !e.is_empty() && !is_wild(e));
        let components = parts.into_iter().map(component).collect::<Result<_, _>>()?;
        Ok(Some(Pattern { base: PathBuf::from(&text[..start]), components, names_extension }))
    }

    /// The state of the base folder.
    pub(super) fn start(&self) -> u64 {
        self.close(1)
    }

    /// Whether a file of this name in a folder of this state is an input.
    pub(super) fn accepts(&self, name: &OsStr, state: u64) -> bool {
        let last = self.components.len().saturating_sub(1);
        state & (1 << last) != 0
            && (self.names_extension || is_image(name))
            && match self.components.get(last) {
                Some(Component::AnyFolders) => true,
                Some(Component::Name(alternatives)) => any_matches(alternatives, name),
                None => false,
            }
    }

    /// The state of a sub-folder; 0 if nothing in it can match.
    pub(super) fn below(&self, name: &OsStr, state: u64) -> u64 {
        let mut next = 0;
        for (i, component) in self.components.iter().enumerate() {
            if state & (1 << i) == 0 {
                continue;
            }
            match component {
                Component::AnyFolders => next |= 1 << i,
                Component::Name(alternatives) => {
                    if i + 1 < self.components.len() && any_matches(alternatives, name) {
                        next |= 1 << (i + 1);
                    }
                }
            }
        }
        self.close(next)
    }

    /// `**` may stand for no folder at all.
    fn close(&self, mut state: u64) -> u64 {
        for (i, component) in self.components.iter().enumerate() {
            let passable = matches!(component, Component::AnyFolders);
            if passable && state & (1 << i) != 0 && i + 1 < self.components.len() {
                state |= 1 << (i + 1);
            }
        }
        state
    }
}

fn component(part: &str) -> Result<Component, Kind> {
    if part == "**" {
        return Ok(Component::AnyFolders);
    }
    let names = expand_braces(part)?;
    Ok(Component::Name(names.iter().map(|name| tokens(name)).collect::<Result<_, _>>()?))
}

/// `a{b,c}d` to `abd` and `acd`.
fn expand_braces(part: &str) -> Result<Vec<String>, Kind> {
    let mut names = vec![String::new()];
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((inside, behind)) = after.split_once('}') else {
            return Err(bad(format!("`{{` without `}}` in the glob's `{part}`")));
        };
        if inside.contains('{') {
            return Err(bad(format!("`{{` inside `{{ }}` in the glob's `{part}`")));
        }
        let choices: Vec<&str> = inside.split(',').collect();
        if names.len().saturating_mul(choices.len()) > MAX_ALTERNATIVES {
            return Err(bad(format!("`{part}` has more than {MAX_ALTERNATIVES} alternatives")));
        }
        names = names
            .iter()
            .flat_map(|name| choices.iter().map(move |c| format!("{name}{before}{c}")))
            .collect();
        rest = behind;
    }
    names.iter_mut().for_each(|name| name.push_str(rest));
    Ok(names)
}

fn tokens(name: &str) -> Result<Vec<Token>, Kind> {
    let mut tokens = Vec::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' if tokens.last() == Some(&Token::Many) => {}
            '*' => tokens.push(Token::Many),
            '?' => tokens.push(Token::One),
            '[' => {
                let (set, behind) = set(rest)
                    .ok_or_else(|| bad(format!("`[` without `]` in the glob's `{name}`")))?;
                tokens.push(set);
                rest = behind;
            }
            c => tokens.extend(c.encode_utf8(&mut [0; 4]).bytes().map(Token::Literal)),
        }
    }
    Ok(tokens)
}

/// What follows `[`, up to its `]`; a `]` that comes first is a member.
fn set(text: &str) -> Option<(Token, &str)> {
    let (negated, text) = match text.strip_prefix(['!', '^']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let first = text.chars().next()?.len_utf8();
    let end = first + text[first..].find(']')?;
    let members: Vec<char> = text[..end].chars().collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(&low) = members.get(at) {
        match (members.get(at + 1), members.get(at + 2)) {
            (Some('-'), Some(&high)) => {
                ranges.push((low, high));
                at += 3;
            }
            _ => {
                ranges.push((low, low));
                at += 1;
            }
        }
    }
    Some((Token::Set { negated, ranges }, &text[end + 1..]))
}

fn any_matches(alternatives: &[Vec<Token>], name: &OsStr) -> bool {
    alternatives.iter().any(|tokens| matches(tokens, name.as_encoded_bytes()))
}

/// Greedy with one point to come back to (the last `*`): at most pattern times name steps.
fn matches(tokens: &[Token], name: &[u8]) -> bool {
    let (mut t, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let step = match (tokens.get(t), name.get(n)) {
            (None, None) => return true,
            (Some(Token::Many), _) => {
                back = Some((t, n));
                t += 1;
                continue;
            }
            (Some(token), Some(_)) => token_matches(token, &name[n..]),
            _ => None,
        };
        match (step, back) {
            (Some(len), _) => {
                t += 1;
                n += len;
            }
            (None, Some((star, from))) if from < name.len() => {
                back = Some((star, from + 1));
                t = star + 1;
                n = from + 1;
            }
            _ => return false,
        }
    }
}

/// How many bytes of `name` (not empty) the token takes.
fn token_matches(token: &Token, name: &[u8]) -> Option<usize> {
    let character = || {
        let head = &name[..name.len().min(4)];
        let valid = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&head[..e.valid_up_to()]).ok()?,
        };
        valid.chars().next()
    };
    match token {
        Token::Literal(byte) => (name.first() == Some(byte)).then_some(1),
        Token::One => Some(character().map_or(1, char::len_utf8)),
        Token::Set { negated, ranges } => {
            let c = character()?;
            let inside = ranges.iter().any(|&(low, high)| low <= c && c <= high);
            (inside != *negated).then_some(c.len_utf8())
        }
        Token::Many => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `path`, below the base, is found by the automaton.
    fn finds(pattern: &str, path: &str) -> bool {
        let pattern = Pattern::parse(pattern).unwrap().unwrap();
        let mut state = pattern.start();
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for folder in folders.split('/').filter(|f| !f.is_empty()) {
            state = pattern.below(OsStr::new(folder), state);
        }
        pattern.accepts(OsStr::new(name), state)
    }

    #[test]
    fn table() {
        for (pattern, path, want) in [
            ("*.jpg", "a.jpg", true),
            ("*.jpg", "a.jpgx", false),
            ("*.jpg", "d/a.jpg", false),
            ("**/*.jpg", "a.jpg", true),
            ("**/*.jpg", "d/e/a.jpg", true),
            ("d/**", "a.jpg", true), // the base is `d/`
            ("**/e/*.jpg", "d/e/a.jpg", true),
            ("**/e/*.jpg", "e/a.jpg", true),
            ("**/e/*.jpg", "e/f/a.jpg", false),
            ("*/e/**/*.jpg", "d/e/f/g/a.jpg", true),
            ("*/e/**/*.jpg", "e/f/g/a.jpg", false),
            ("**/**/*.jpg", "a.jpg", true),
            ("*.{jpg,png}", "a.png", true),
            ("*.{jpg,png}", "a.gif", false),
            ("{a,b}*{1,2}.jpg", "b-2.jpg", true),
            ("{a,b}*{1,2}.jpg", "c-2.jpg", false),
            ("?.jpg", "ä.jpg", true),
            ("??.jpg", "ä.jpg", false),
            ("[a-c].jpg", "b.jpg", true),
            ("[a-c].jpg", "d.jpg", false),
            ("[!a-c].jpg", "d.jpg", true),
            ("[!a-c].jpg", "a.jpg", false),
            ("[]-].jpg", "].jpg", true),
            ("[*].jpg", "*.jpg", true),
            ("[*].jpg", "a.jpg", false),
            ("*a*b*c.jpg", "xaybzc.jpg", true),
            ("*a*b*c.jpg", "xaybz.jpg", false),
            ("*", "a.jpg", true),
            ("*", "a.txt", false),    // not named, not an image
            ("*.txt", "a.txt", true), // named
            ("*.*", "a.txt", false),
        ] {
            assert_eq!(finds(pattern, path), want, "{pattern} {path}");
        }
    }

    #[test]
    fn bases_and_refusals() {
        for (text, base) in [
            ("a/b/*.jpg", "a/b/"),
            ("*.jpg", ""),
            ("/x?/y", "/"),
            ("../a*/b", "../"),
            ("a/x{b,c}", "a/"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().unwrap().base, PathBuf::from(base), "{text}");
        }
        assert!(Pattern::parse("a/b.jpg").unwrap().is_none());
        for text in
            ["*/../a", "[a", "{a", "{a{b}}", "{1,2,3,4,5,6,7,8,9}{1,2,3,4,5,6,7,8,9}{1,2,3,4}"]
        {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse(&"*/".repeat(64)).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn broken_utf8_matches() {
        use std::os::unix::ffi::OsStrExt;
        let pattern = Pattern::parse("?x*.jpg").unwrap().unwrap();
        assert!(pattern.accepts(OsStr::from_bytes(b"\xffx\xfe.jpg"), pattern.start()));
        assert!(!pattern.accepts(OsStr::from_bytes(b"\xff\xffx.jpg"), pattern.start()));
    }

    #[test]
    fn many_stars_end() {
        let name = "a".repeat(200);
        assert!(!finds(&format!("{}b.jpg", "*a".repeat(50)), &format!("{name}.jpg")));
    }
}
