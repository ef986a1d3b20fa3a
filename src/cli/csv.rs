//! Rows of CSV, by RFC 4180.

use super::text::escaped;

/// Formats a row, with the line break at its end.
pub(crate) fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<_> = cells.into_iter().map(cell).collect();
    cells.join(",") + "\r\n"
}

/// A cell. Control characters are escaped, as in all other output, so that a cell has no line break. A
/// spreadsheet would evaluate text that begins like a formula, so an apostrophe is put before it.
fn cell(text: &str) -> String {
    let mut text = escaped(text).into_owned();
    if text.starts_with(['=', '+', '-', '@']) {
        text.insert(0, '\'');
    }
    if text.contains(['"', ',']) || text.starts_with(' ') || text.ends_with(' ') {
        text = format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_defused_where_it_has_to_be() {
        let table = [
            ("", ""),
            ("plain text", "plain text"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            (" a", "\" a\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""),
            ("1-1", "1-1"),
            ("a\r\n\t=b", "a\\r\\n\\t=b"),
            ("≥ $1", "≥ $1"),
        ];
        for (text, expected) in table {
            assert_eq!(cell(text), expected);
        }
        assert_eq!(row(["a", "", "b,c"]), "a,,\"b,c\"\r\n");
    }
}
