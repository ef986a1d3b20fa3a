//! A terminal emulator, as far as the example needs one.

/// The number of characters in a line.
pub const WIDTH: usize = 104;

/// A screen, with the colours of its text.
#[derive(Debug)]
pub struct Terminal {
    lines: Vec<Vec<(char, String)>>,
    row: usize,
    column: usize,
    colours: Vec<u32>,
    /// An escape sequence that has not ended yet.
    escape: Option<String>,
}

impl Terminal {
    pub fn new() -> Self {
        Self { lines: vec![Vec::new()], row: 0, column: 0, colours: Vec::new(), escape: None }
    }

    pub fn write(&mut self, text: &str) {
        text.chars().for_each(|character| self.put(character));
    }

    fn put(&mut self, character: char) {
        if let Some(escape) = &mut self.escape {
            escape.push(character);
            let is_whole = match escape.strip_prefix('[') {
                Some(rest) => rest.ends_with(|c: char| ('@'..='~').contains(&c)),
                None => true,
            };
            if is_whole {
                let escape = self.escape.take().unwrap_or_default();
                self.obey(&escape);
            }
            return;
        }
        match character {
            '\u{1b}' => self.escape = Some(String::new()),
            '\r' => self.column = 0,
            '\n' => self.next_line(),
            character if character.is_control() => {}
            character => {
                // A full line wraps with the character after it.
                if self.column == WIDTH {
                    self.next_line();
                    self.column = 0;
                }
                let class = self.colours.iter().map(|colour| format!("c{colour} ")).collect();
                let line = &mut self.lines[self.row];
                line.resize(line.len().max(self.column + 1), (' ', String::new()));
                line[self.column] = (character, class);
                self.column += 1;
            }
        }
    }

    fn next_line(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
        }
    }

    fn obey(&mut self, escape: &str) {
        let Some((parameters, command)) =
            escape.strip_prefix('[').and_then(|rest| rest.split_at_checked(rest.len() - 1))
        else {
            return;
        };
        let number = || parameters.parse().unwrap_or(1).max(1);
        match command {
            "A" => self.row = self.row.saturating_sub(number()),
            "B" => self.row = (self.row + number()).min(self.lines.len() - 1),
            "K" if parameters == "2" => self.lines[self.row].clear(),
            "K" => self.lines[self.row].truncate(self.column),
            "m" => {
                for number in parameters.split(';').map(|number| number.parse().unwrap_or(0)) {
                    if number == 0 { self.colours.clear() } else { self.colours.push(number) }
                }
            }
            _ => {}
        }
    }

    /// The screen without its colours.
    pub fn text(&self) -> String {
        let line = |line: &Vec<(char, String)>| line.iter().map(|(c, _)| *c).collect::<String>();
        self.lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The screen as a page.
    pub fn page(&self, command: &str) -> String {
        let mut body = format!("<span class=c2>$</span> {command}\n");
        for line in &self.lines {
            for (character, class) in line {
                body.push_str(&format!(
                    "<span class='{class}'>&#{};</span>",
                    u32::from(*character)
                ));
            }
            body.push('\n');
        }
        format!(
            "<!doctype html><meta charset=utf-8><style>
             body {{ margin: 0; background: #12161b; color: #e6e9ed; }}
             pre {{ margin: 0; padding: 22px 26px; font: 15px/1.5 'DejaVu Sans Mono', monospace; }}
             .c1 {{ font-weight: bold; }} .c2 {{ color: #8b96a3; }} .c31 {{ color: #ff8178; }}
             .c32 {{ color: #4ac088; }} .c36 {{ color: #5fc9d8; }}
             </style><pre>{}</pre>",
            body.trim_end()
        )
    }
}
