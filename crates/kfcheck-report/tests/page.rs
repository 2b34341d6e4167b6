//! The page of a check as a person reads it.

use expect_test::expect;
use kfcheck_report::page;
use proptest::prelude::*;

const PAGE: &str = "# gcp-some-subject\n\nThe subject is healthy.\n\n## What it checks\nThat `some subject` is \
    there, and *all* that belongs to it: what is in it, what it is\nmade of and who has it.\n\n\
    - one ([docs](https://example.com))\n- two, which is so long that it does not fit into one line of \
    the terminal\n  1. of it\n  2. more\n\n## How to fix it\n\n```\nkubectl  get  x \\\n    -o yaml\n```\nThen wait.\n";

#[test]
fn a_page_has_no_marks_and_short_lines() {
    expect![[r#"
        gcp-some-subject

        The subject is healthy.

        What it checks
          That some subject is there, and all that
          belongs to it: what is in it, what it is
          made of and who has it.

          - one (docs (https://example.com))
          - two, which is so long that it does not
            fit into one line of the terminal

           1. of it
           2. more

        How to fix it
            kubectl  get  x \
                -o yaml

          Then wait.
    "#]]
    .assert_eq(&page(PAGE, 44, false));
}

#[test]
fn colours_make_headings_and_code_bold_and_change_nothing_else() {
    let coloured = page(PAGE, 44, true);
    assert!(coloured.contains("\u{1b}[1mgcp-some-subject\u{1b}[0m"), "{coloured}");
    let plain = coloured.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
    assert_eq!(plain, page(PAGE, 44, false));
}

proptest! {
    #[test]
    fn any_page_keeps_its_words(text in "[a-z *_`#>\\-\\n\\[\\]()!&|0-9.<]{0,200}") {
        let page = page(&text, 30, false);
        let letters = |text: &str| text.chars().filter(char::is_ascii_lowercase).count();
        prop_assert!(letters(&page) <= letters(&text) * 2);
    }
}
