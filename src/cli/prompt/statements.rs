//! Where a SQL statement ends, and whether the cursor is in code: quotes and comments are minded, nothing else of SQL.
//!
//! Must never run anything.

/// What the text is in at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Plain SQL.
    Code,
    /// A quoted text or name.
    Quoted(char),
    /// A comment up to the end of the line.
    LineComment,
    /// A comment up to `*/`.
    BlockComment,
}

/// A text cut at its semicolons.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statements<'t> {
    /// The statements that are ended, without the semicolon; those with nothing in them are left out.
    pub ended: Vec<&'t str>,
    /// What follows the last semicolon, without white space around it; empty when that is only comments.
    pub rest: &'t str,
    /// What the text is in at its end.
    pub place: Place,
}

/// Cuts a text into statements.
pub(super) fn statements(text: &str) -> Statements<'_> {
    let mut ended = Vec::new();
    let mut place = Place::Code;
    let mut start = 0;
    let mut has_code = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        match (place, c, next) {
            (Place::Code, ';', _) => {
                if has_code {
                    ended.push(text[start..at].trim());
                }
                start = at + 1;
                has_code = false;
            }
            (Place::Code, '-', Some('-')) => place = Place::LineComment,
            (Place::Code, '/', Some('*')) => {
                place = Place::BlockComment;
                characters.next();
            }
            (Place::Code, '\'' | '"' | '`', _) => {
                place = Place::Quoted(c);
                has_code = true;
            }
            (Place::Code, c, _) => has_code |= !c.is_whitespace(),
            // A doubled quote ends the text and begins it again at once.
            (Place::Quoted(quote), c, _) if c == quote => place = Place::Code,
            (Place::LineComment, '\n', _) => place = Place::Code,
            (Place::BlockComment, '*', Some('/')) => {
                place = Place::Code;
                characters.next();
            }
            _ => {}
        }
    }
    let rest = if has_code { text[start..].trim() } else { "" };
    Statements { ended, rest, place }
}

/// Whether there is nothing to wait for: a command, nothing at all, or statements that are all ended.
pub(super) fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('\\') || super::is_word_command(trimmed) {
        return true;
    }
    let statements = statements(text);
    statements.rest.is_empty() && matches!(statements.place, Place::Code | Place::LineComment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_in_code() {
        let check = |text: &str, ended: &[&str], rest: &str, place: Place| {
            assert_eq!(statements(text), Statements { ended: ended.to_vec(), rest, place }, "{text}");
        };
        check("", &[], "", Place::Code);
        check("select 1", &[], "select 1", Place::Code);
        check(" select 1 ; select 2;\n", &["select 1", "select 2"], "", Place::Code);
        check("select ';''; ' ;", &["select ';''; '"], "", Place::Code);
        check("select \"a;b\" from t;x", &["select \"a;b\" from t"], "x", Place::Code);
        check("select 'a;", &[], "select 'a;", Place::Quoted('\''));
        check("select 1 -- a;b'\n;", &["select 1 -- a;b'"], "", Place::Code);
        check("select 1; -- done;", &["select 1"], "", Place::LineComment);
        check("/* a; ' */ select /**/ 1;", &["/* a; ' */ select /**/ 1"], "", Place::Code);
        check("select 1 /*/ ;", &[], "select 1 /*/ ;", Place::BlockComment);
        check(";;", &[], "", Place::Code);
        check("select 4-2/1;", &["select 4-2/1"], "", Place::Code);
        check("select 'ä€';é", &["select 'ä€'"], "é", Place::Code);
    }

    #[test]
    fn complete() {
        let check = |text: &str, expect: bool| assert_eq!(is_complete(text), expect, "{text}");
        check("", true);
        check("  \n", true);
        check("\\d", true);
        check("quit", true);
        check("select 1", false);
        check("select 1;", true);
        check("select 1; select", false);
        check("select 1; -- that is all", true);
        check("select 1; /* not yet", false);
        check("select ';", false);
        check("-- only a remark", true);
    }
}
