//! The form of a mail that says what something is about, what one should know of it, and, when it leads anywhere,
//! where, with the code that the link does not carry. As HTML for all mail programs: tables, styles in place, nothing
//! that is fetched.
//!
//! What people have written in their own words stands in the plain text behind a mark, so that it is not taken for
//! ours.

use askama::Template;

use super::compose::LOGO;
use super::templates::Words as Letter;
use crate::words::Words;

/// A mail before it is HTML or plain text.
pub(super) struct Sheet {
    /// What it is about, in a line.
    pub subject: String,
    /// Whose it is.
    pub organization: String,
    /// What stands above it.
    pub heading: String,
    /// What it is about.
    pub lead: String,
    /// What has to be known at once.
    pub more: Vec<String>,
    /// What one should know.
    pub rows: Vec<Row>,
    /// Where it leads; none: nowhere.
    pub button: Option<Button>,
    /// What stands below it.
    pub foot: String,
}

/// Something that one should know.
pub(super) struct Row {
    /// What it is.
    pub label: String,
    /// Its value, line by line.
    pub lines: Vec<String>,
    /// Whether the lines are somebody's own words.
    pub quoted: bool,
}

/// Where a mail leads.
pub(super) struct Button {
    /// What it says.
    pub text: String,
    /// The address.
    pub link: String,
    /// What the page asks for.
    pub code: Option<Code>,
    /// What has to be known of the link.
    pub notes: Vec<String>,
    /// What stands before the plain link.
    pub plain: String,
}

/// What the page asks for.
pub(super) struct Code {
    /// What says so.
    pub label: String,
    /// The code.
    pub digits: String,
}

#[derive(Template)]
#[template(path = "mail/approval.html")]
struct Html<'a> {
    lang: &'static str,
    logo: Option<&'static str>,
    mail: &'a Sheet,
}

/// A value on one line, whatever it is made of.
pub(super) fn row(label: String, value: String) -> Row {
    Row { label, lines: vec![value.replace(char::is_control, " ")], quoted: false }
}

/// Somebody's own words.
pub(super) fn quoted(label: String, text: &str) -> Row {
    Row { label, lines: text.lines().map(str::to_owned).collect(), quoted: true }
}

impl Sheet {
    /// The mail as it is sent.
    pub fn letter(self, words: Words, logo: bool) -> Result<Letter, String> {
        let html = Html { lang: words.tag(), logo: logo.then_some(LOGO), mail: &self }.render();
        let html = html.map_err(|error| format!("its template: {error}"))?;
        let text = self.text();
        Ok(Letter { subject: self.subject, text, html })
    }

    /// The same as plain text.
    fn text(&self) -> String {
        let mut lines = vec![self.organization.clone(), String::new(), self.lead.clone()];
        lines.extend(self.more.iter().cloned());
        lines.push(String::new());
        for row in &self.rows {
            if row.quoted {
                lines.push(format!("{}:", row.label));
                lines.extend(row.lines.iter().map(|line| format!("> {line}")));
            } else {
                lines.push(format!("{}: {}", row.label, row.lines.join(" ")));
            }
        }
        if let Some(button) = &self.button {
            lines.extend([String::new(), format!("{}:", button.text), button.link.clone()]);
            if let Some(code) = &button.code {
                lines.extend([String::new(), format!("{} {}", code.label, code.digits)]);
            }
            lines.push(String::new());
            lines.extend(button.notes.iter().cloned());
        }
        lines.extend([String::new(), self.foot.clone(), String::new()]);
        lines.join("\n")
    }
}
