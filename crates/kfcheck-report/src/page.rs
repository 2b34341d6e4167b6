//! The page of a check, for a terminal or a pipe.

use anstyle::Style;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// Markdown as a person reads it: lines of at most `width` columns where the words allow it, code as
/// it is, and no marks. Headings are bold where there are `colours`.
pub fn page(markdown: &str, width: usize, colours: bool) -> String {
    let mut page = Page { width: width.max(MARGIN.len() + 20), colours, ..Page::default() };
    for event in Parser::new(markdown) {
        page.take(event);
    }
    page.end_block();
    page.out
}

/// How far what stands below a heading is moved in, and what is code or in a list.
const MARGIN: &str = "  ";
/// A list that is deeper stays where it is.
const DEEPEST: usize = 5;

/// A word, of one part or of several that follow each other without a space.
#[derive(Default)]
struct Word {
    text: String,
    width: usize,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "where the writer is has many sides")]
struct Page {
    width: usize,
    colours: bool,
    out: String,
    words: Vec<Word>,
    /// What comes next begins another word.
    apart: bool,
    bold: usize,
    heading: bool,
    /// How many headings there were; the first is that of the page.
    headings: usize,
    code: Option<String>,
    /// The next number of each list that is open; none where they are bullets.
    lists: Vec<Option<u64>>,
    /// What the first line of an item begins with.
    bullet: Option<String>,
    /// The next block follows without an empty line.
    tight: bool,
    link: Option<String>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code.is_some() => {
                self.code.iter_mut().for_each(|code| code.push_str(&text));
            }
            Event::Code(text) => {
                self.bold += 1;
                self.say(&text);
                self.bold -= 1;
            }
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.say(&text),
            Event::SoftBreak => self.apart = true,
            Event::HardBreak => {
                self.end_block();
                self.tight = true;
            }
            Event::Rule => {
                self.end_block();
                self.say("* * *");
                self.end_block();
            }
            Event::TaskListMarker(done) => self.say(if done { "[x] " } else { "[ ] " }),
        }
    }

    fn begin(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } => {
                self.end_block();
                self.heading = true;
                self.headings += 1;
                self.bold += 1;
            }
            Tag::CodeBlock(_) => {
                self.end_block();
                self.code = Some(String::new());
            }
            Tag::List(first) => {
                self.end_block();
                self.lists.push(first);
            }
            Tag::Item => {
                self.end_block();
                self.bullet = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number = number.saturating_add(1);
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                });
            }
            Tag::Emphasis | Tag::Strong => self.bold += 1,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.link = Some(dest_url.into_string());
            }
            Tag::Paragraph => self.end_block(),
            _ => (),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.end_block();
                self.heading = false;
                self.bold = self.bold.saturating_sub(1);
                self.tight = self.headings > 1;
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                self.space();
                let indent = format!("{}{MARGIN}", self.indent());
                for line in code.lines() {
                    self.out.push_str(format!("{indent}{line}").trim_end());
                    self.out.push('\n');
                }
            }
            TagEnd::Item => {
                self.end_block();
                self.bullet = None;
                self.tight = true;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.tight = !self.lists.is_empty();
            }
            TagEnd::Emphasis | TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => {
                let to = self.link.take().unwrap_or_default();
                let said = self.words.last().is_some_and(|word| word.text.contains(&to));
                if !to.is_empty() && !said {
                    self.apart = true;
                    self.say(&format!("({to})"));
                }
            }
            _ => self.end_block(),
        }
    }

    /// Adds a text to the block.
    fn say(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let (bold, plain) = match Style::new().bold() {
            bold if self.colours && self.bold > 0 => (format!("{bold}"), format!("{bold:#}")),
            _ => (String::new(), String::new()),
        };
        self.apart |= text.starts_with(char::is_whitespace);
        for part in text.split_whitespace() {
            if self.apart || self.words.is_empty() {
                self.words.push(Word::default());
            }
            if let Some(word) = self.words.last_mut() {
                word.text.push_str(&format!("{bold}{part}{plain}"));
                word.width += part.chars().count();
            }
            self.apart = true;
        }
        self.apart = text.ends_with(char::is_whitespace);
    }

    fn indent(&self) -> String {
        let depth = self.lists.len().min(DEEPEST);
        MARGIN.repeat(depth + usize::from(!self.heading && self.headings > 1))
    }

    /// An empty line before the next block, where there has to be one.
    fn space(&mut self) {
        if !self.out.is_empty() && !std::mem::take(&mut self.tight) {
            self.out.push('\n');
        }
    }

    /// Writes what was said since the last block.
    fn end_block(&mut self) {
        let words = std::mem::take(&mut self.words);
        self.apart = false;
        if words.is_empty() {
            return;
        }
        self.space();
        let indent = self.indent();
        let bullet = self.bullet.take().unwrap_or_default();
        let keep = indent.len().saturating_sub(bullet.len());
        let (mut line, mut length) = (format!("{}{bullet}", &indent[..keep]), indent.len());
        let mut empty = true;
        for word in words {
            if !empty && length + 1 + word.width > self.width {
                self.out.push_str(&line);
                self.out.push('\n');
                (line, length, empty) = (indent.clone(), indent.len(), true);
            }
            let space = if empty { "" } else { " " };
            line.extend([space, &word.text]);
            length += space.len() + word.width;
            empty = false;
        }
        self.out.push_str(&line);
        self.out.push('\n');
    }
}
