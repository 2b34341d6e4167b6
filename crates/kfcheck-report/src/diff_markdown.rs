use crate::{
    changes::{Change, Changes, CheckChange},
    diff_text::{CHANGES, now, role, said_of_entrance, word},
    headline::{status_word, to_the_second},
    markdown::words,
};

impl Changes {
    /// For a ticket.
    pub fn markdown(&self) -> String {
        let mut out = String::from("## What changed\n\n");
        for (name, side) in [("Before", &self.before), ("After", &self.after)] {
            let at = to_the_second(side.started_at.as_deref());
            out.push_str(&format!("- **{name}**, {}: {}\n", words(&at), words(&side.says)));
        }
        for entrance in &self.entrances {
            out.push_str(&format!("- {}\n", words(&said_of_entrance(entrance))));
        }
        if !self.changed {
            out.push_str("\nNothing changed.\n");
        }
        for change in CHANGES.into_iter().chain([Change::Same]) {
            let all: Vec<_> = self.of(change).collect();
            if !all.is_empty() {
                out.push_str(&format!("\n### {}\n\n", capital(word(change))));
            }
            for one in all {
                let text = format!("{} {}", one.resource, now(one));
                let (check, role) = (words(&one.check), role(one));
                out.push_str(&format!("- {} ({check}, {role})\n", words(&text)));
                if let (Some(was), Change::Changed) = (&one.before, change) {
                    out.push_str(&format!("  - was: {}\n", words(&was.message)));
                }
                if let Some(reason) = &one.reason {
                    out.push_str(&format!("  - {}\n", words(reason)));
                }
            }
        }
        for (heading, unseen) in [("Not seen now", &self.unseen), ("Not seen before", &self.seen)] {
            if !unseen.is_empty() {
                out.push_str(&format!("\n### {heading}\n\n"));
            }
            for one in unseen {
                let by = words(&one.wanted_by.join(", "));
                out.push_str(&format!("- {} ({by})\n", words(&one.detail)));
            }
        }
        if !self.checks.is_empty() {
            out.push_str("\n### Checks\n\n| check | before | after |\n|---|---|---|\n");
        }
        for CheckChange { id, before, after } in &self.checks {
            let [before, after] = [before, after].map(|one| one.map_or("not run", status_word));
            out.push_str(&format!("| {} | {before} | {after} |\n", words(id)));
        }
        out
    }
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_owned() + &rest.to_lowercase()
}
