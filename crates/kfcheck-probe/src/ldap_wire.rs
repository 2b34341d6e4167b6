//! LDAP on the wire, as far as a connector's steps take it (RFC 4511).
//!
//! Filters are compiled by the crate `ldap3`. Its client isn't used: it takes no connection but its
//! own, and panics on an answer that is no LDAP (0.12, `protocol.rs` and `result.rs`).

use bytes::BytesMut;
use lber::structures::ASNTag;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{LdapCode, LdapEntry};

/// No message is read that is longer, in bytes: an entry of a person is a thousandth of it.
const LONGEST: usize = 4 << 20;
/// How deep a filter may be nested; compiling one takes a piece of the stack for each level.
const DEEPEST: usize = 50;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;

const BIND: u8 = 0x60;
const BOUND: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const EXTENDED: u8 = 0x77;
const EXTENDED_DONE: u8 = 0x78;

/// What a server does when it ends a connection by itself (RFC 4511, section 4.4.1).
const UNSOLICITED: i64 = 0;
/// RFC 4511, section 4.14.
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// What a server says to something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: LdapCode,
    /// How much there is of a name that isn't there.
    pub(crate) matched: String,
    /// The server's own words.
    pub(crate) says: String,
}

/// One message of a server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One entry that a search has found.
    Entry(LdapEntry),
    /// The end of what was asked for.
    Done(Outcome),
    /// Nothing that is of interest: where else one might search.
    Other,
}

impl Outcome {
    pub(crate) fn is_success(&self) -> bool {
        self.code == LdapCode::SUCCESS
    }
}

/// Reads and writes messages.
pub(crate) struct Wire<S> {
    stream: S,
    /// The number of the last question.
    asked: i64,
    /// How much has been read, in bytes.
    pub(crate) read: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, asked: 0, read: 0 }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Asks for TLS.
    pub(crate) async fn start_tls(&mut self) -> Result<Outcome, String> {
        self.ask(&tlv(EXTENDED, &[tlv(0x80, &[START_TLS])])).await?;
        self.outcome().await
    }

    /// Signs in with name and password.
    pub(crate) async fn bind(&mut self, dn: &str, password: &str) -> Result<Outcome, String> {
        let version = tlv(INTEGER, &[[3]]);
        let simple = tlv(0x80, &[password]);
        self.ask(&tlv(BIND, &[version, tlv(OCTETS, &[dn]), simple])).await?;
        self.outcome().await
    }

    /// Starts a search, and says by which number its answers go.
    pub(crate) async fn search(&mut self, search: &Search<'_>) -> Result<i64, String> {
        let attributes: Vec<_> =
            search.attributes.iter().map(|name| tlv(OCTETS, &[name])).collect();
        let scope = if search.whole_tree { 2 } else { 1 };
        let seconds = search.seconds;
        self.ask(&tlv(
            SEARCH,
            &[
                tlv(OCTETS, &[search.base]),
                tlv(ENUMERATED, &[[scope]]),
                // Aliases are not followed, as Dex doesn't either.
                tlv(ENUMERATED, &[[0]]),
                integer(search.most),
                integer(seconds),
                tlv(BOOLEAN, &[[0]]),
                search.filter.0.clone(),
                tlv(SEQUENCE, &attributes),
            ],
        ))
        .await
    }

    /// Says goodbye.
    pub(crate) async fn unbind(mut self) {
        // Nobody waits for what comes of it.
        let _ = self.ask(&tlv(UNBIND, &[[0; 0]])).await;
        let _ = self.stream.shutdown().await;
    }

    async fn ask(&mut self, operation: &[u8]) -> Result<i64, String> {
        self.asked += 1;
        let number = integer(self.asked.unsigned_abs());
        let message = tlv(SEQUENCE, &[&number[..], operation]);
        let sent = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| format!("cannot send: {error}"))?;
        Ok(self.asked)
    }

    /// The answer to the last question.
    async fn outcome(&mut self) -> Result<Outcome, String> {
        loop {
            match self.next().await? {
                (number, Answer::Done(outcome)) if number == self.asked => return Ok(outcome),
                _ => {}
            }
        }
    }

    /// The next message, with the number of the question that it answers.
    pub(crate) async fn next(&mut self) -> Result<(i64, Answer), String> {
        let message = self.frame().await?;
        let read = read(&message).ok_or_else(|| "its answer is no LDAP".to_owned())?;
        if let (UNSOLICITED, Answer::Done(outcome)) = &read {
            let Outcome { code, says, .. } = outcome;
            return Err(format!("the server ends the connection: {code} {says}"));
        }
        Ok(read)
    }

    async fn frame(&mut self) -> Result<Vec<u8>, String> {
        let mut head = [0; 6];
        self.fill(&mut head[..2]).await?;
        if head[0] != SEQUENCE {
            let mut start = head[..2].to_vec();
            // Most such servers speak in lines.
            let mut rest = [0; 30];
            let got = self.stream.read(&mut rest).await.unwrap_or(0);
            start.extend_from_slice(&rest[..got]);
            let shown: String = String::from_utf8_lossy(&start)
                .chars()
                .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '.' })
                .collect();
            return Err(format!("its answer is no LDAP: it begins with {shown:?}"));
        }
        let length = match usize::from(head[1]) {
            short @ ..=0x7f => short,
            long @ 0x81..=0x84 => {
                let octets = &mut head[2..2 + long - 0x80];
                self.fill(octets).await?;
                octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))
            }
            _ => return Err("its answer is no LDAP: it has no length".to_owned()),
        };
        if length > LONGEST {
            return Err(format!(
                "one message of its answer is {length} bytes long, which is too much"
            ));
        }
        // What is only said to be long takes no memory.
        let mut message = Vec::new();
        let taken = (&mut self.stream).take(length as u64).read_to_end(&mut message).await;
        self.read += taken.map_err(|error| broken(&error))?;
        if message.len() < length {
            return Err("the server closed the connection in the middle of an answer".to_owned());
        }
        Ok(message)
    }

    async fn fill(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        self.read += buffer.len();
        self.stream.read_exact(buffer).await.map(|_| ()).map_err(|error| broken(&error))
    }
}

fn broken(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return "the server closed the connection instead of an answer".to_owned();
    }
    format!("cannot read: {error}")
}

/// A search, as it is sent.
pub(crate) struct Search<'a> {
    pub(crate) base: &'a str,
    pub(crate) whole_tree: bool,
    pub(crate) filter: Filter,
    pub(crate) attributes: Vec<&'a str>,
    /// How many entries are wanted.
    pub(crate) most: u64,
    /// How long the server may take.
    pub(crate) seconds: u64,
}

/// A filter, compiled.
#[derive(Clone)]
pub(crate) struct Filter(Vec<u8>);

impl Filter {
    /// RFC 4515; an error says what is wrong with the text. None at all is everything.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        let text = if text.trim().is_empty() { "(objectClass=*)" } else { text.trim() };
        let mut depth = 0usize;
        for c in text.chars() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => (),
            }
            if depth > DEEPEST {
                return Err(format!("the filter is nested more than {DEEPEST} deep"));
            }
        }
        let filter = ldap3::parse_filter(text).map_err(|()| format!("{text} is no LDAP filter"))?;
        let mut compiled = BytesMut::new();
        let written = lber::write::encode_into(&mut compiled, filter.into_structure());
        written.map_err(|error| format!("{text} can't be sent: {error}"))?;
        Ok(Self(compiled.to_vec()))
    }
}

/// A value with its tag and length (ITU-T X.690, section 8.1).
fn tlv(tag: u8, parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.as_ref().len()).sum::<usize>();
    let mut all = vec![tag];
    if length < 0x80 {
        all.push(u8::try_from(length).unwrap_or_default());
    } else {
        let octets = length.to_be_bytes();
        let first = octets.iter().position(|octet| *octet != 0).unwrap_or_default();
        all.push(0x80 | u8::try_from(octets.len() - first).unwrap_or_default());
        all.extend_from_slice(&octets[first..]);
    }
    all.extend(parts.iter().flat_map(AsRef::as_ref));
    all
}

fn integer(number: u64) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let first = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len() - 1);
    // A leading bit is a sign.
    let sign: &[u8] = if octets[first] & 0x80 == 0 { &[] } else { &[0] };
    tlv(INTEGER, &[sign, &octets[first..]])
}

/// Reads values one after the other.
struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, length], mut rest) = self.0.split_first_chunk()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let length = match usize::from(length) {
            short @ ..=0x7f => short,
            long @ 0x81..=0x84 => {
                let (octets, after) = rest.split_at_checked(long - 0x80)?;
                rest = after;
                octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    fn text(&mut self) -> Option<String> {
        self.expect(OCTETS).map(|octets| String::from_utf8_lossy(octets).into_owned())
    }
}

/// A message without its own tag and length.
fn read(message: &[u8]) -> Option<(i64, Answer)> {
    let mut values = Values(message);
    let number = values.expect(INTEGER).filter(|octets| (1..=4).contains(&octets.len()))?;
    let number = number.iter().fold(0, |number, octet| number << 8 | i64::from(*octet));
    let (operation, content) = values.next()?;
    let mut values = Values(content);
    let answer = match operation {
        ENTRY => Answer::Entry(entry(&mut values)?),
        BOUND | DONE | EXTENDED_DONE => {
            let code =
                values.expect(ENUMERATED).filter(|octets| (1..=4).contains(&octets.len()))?;
            let code = code.iter().fold(0, |code, octet| code << 8 | u32::from(*octet));
            let (matched, says) = (values.text()?, values.text()?);
            Answer::Done(Outcome { code: LdapCode(code), matched, says })
        }
        _ => Answer::Other,
    };
    Some((number, answer))
}

fn entry(values: &mut Values<'_>) -> Option<LdapEntry> {
    let dn = values.text()?;
    let mut entry = LdapEntry { dn, ..LdapEntry::default() };
    let mut attributes = Values(values.expect(SEQUENCE)?);
    while !attributes.0.is_empty() {
        let mut attribute = Values(attributes.expect(SEQUENCE)?);
        let name = attribute.text()?;
        let mut set = Values(attribute.expect(SET)?);
        let all = entry.attributes.entry(name).or_default();
        while !set.0.is_empty() {
            all.push(set.text()?);
        }
    }
    Some(entry)
}

/// What holds whatever a server sends, and whatever a filter is.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use futures::FutureExt;

    use super::*;

    /// What a server sends: no more is read than there is, and what is read is read again as it is
    /// written.
    pub(crate) fn messages(bytes: &[u8]) {
        let mut wire = Wire::over(tokio::io::join(bytes, tokio::io::sink()));
        let mut before = 0;
        while let Some(next) = wire.next().now_or_never() {
            let Ok((number, answer)) = next else { return };
            assert!(before < wire.read && wire.read <= bytes.len());
            if let Answer::Entry(entry) = &answer {
                let values = entry.attributes.values().map(Vec::len).sum::<usize>();
                assert!(values <= wire.read - before);
            }
            before = wire.read;
            // Its first bit would be a sign, which nobody sends.
            if let (Ok(number), Some(operation)) = (u32::try_from(number), written(&answer))
                && number < 1 << 31
            {
                let message = [integer(number.into()), operation].concat();
                assert_eq!(super::read(&message), Some((number.into(), answer)));
            }
        }
        unreachable!("a stream that ends is not waited for");
    }

    /// An answer, as a server sends it.
    fn written(answer: &Answer) -> Option<Vec<u8>> {
        match answer {
            Answer::Entry(entry) => {
                let attribute = |(name, values): (&String, &Vec<String>)| {
                    let values: Vec<_> = values.iter().map(|value| tlv(OCTETS, &[value])).collect();
                    tlv(SEQUENCE, &[tlv(OCTETS, &[name]), tlv(SET, &values)])
                };
                let attributes: Vec<_> = entry.attributes.iter().map(attribute).collect();
                Some(tlv(ENTRY, &[tlv(OCTETS, &[&entry.dn]), tlv(SEQUENCE, &attributes)]))
            }
            Answer::Done(Outcome { code, matched, says }) => {
                let code = tlv(ENUMERATED, &[code.0.to_be_bytes()]);
                Some(tlv(DONE, &[code, tlv(OCTETS, &[matched]), tlv(OCTETS, &[says])]))
            }
            Answer::Other => None,
        }
    }

    /// A filter: it is refused, or becomes one value and no more.
    pub(crate) fn filter(text: &str) {
        let Ok(Filter(compiled)) = Filter::compile(text) else { return };
        let mut values = Values(&compiled);
        assert!(values.next().is_some() && values.0.is_empty(), "{compiled:02x?}");
    }

    #[cfg(test)]
    mod tests {
        use proptest::prelude::*;

        use super::*;

        /// A text that may be one of a directory's.
        fn word() -> impl Strategy<Value = String> {
            prop_oneof!["[a-z=,]{0,9}", any::<String>(), "x{120,300}"]
        }

        fn entry() -> impl Strategy<Value = Answer> {
            let attributes =
                prop::collection::btree_map(word(), prop::collection::vec(word(), 0..4), 0..4);
            (word(), attributes)
                .prop_map(|(dn, attributes)| Answer::Entry(LdapEntry { dn, attributes }))
        }

        fn done() -> impl Strategy<Value = Answer> {
            (any::<u32>(), word(), word()).prop_map(|(code, matched, says)| {
                Answer::Done(Outcome { code: LdapCode(code), matched, says })
            })
        }

        /// A message as it comes, with some of its bytes changed.
        fn changed(answer: &Answer, number: u32, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
            let operation = written(answer).unwrap();
            let mut message = tlv(SEQUENCE, &[integer(number.into()), operation]);
            for (at, byte) in changes {
                let at = at.index(message.len());
                message[at] = *byte;
            }
            message
        }

        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn what_is_written_is_read(
                answer in prop_oneof![entry(), done()],
                number in 1_u32..1 << 31,
                changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
            ) {
                let message = changed(&answer, number, &[]);
                let mut wire = Wire::over(tokio::io::join(&*message, tokio::io::sink()));
                prop_assert_eq!(wire.next().now_or_never(), Some(Ok((number.into(), answer.clone()))));
                messages(&changed(&answer, number, &changes));
            }

            #[test]
            fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
                messages(&bytes);
                messages(&[&[SEQUENCE, 0x82, 0x01, 0x2c], &*bytes].concat());
            }

            #[test]
            fn any_filter_is_compiled_or_refused(
                text in any::<String>(),
                near in r"[(&|!]{0,4}\((uid|cn:dn:2\.5\.13\.2:|[a-z;-]{0,5})[~<>:]?=[a-z*\\0-9]{0,8}\)[)]{0,4}",
            ) {
                filter(&text);
                filter(&near);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    #[test]
    fn what_is_written_is_what_others_write() {
        // As ldapwhoami of OpenLDAP's sends it.
        let bind = tlv(BIND, &[tlv(INTEGER, &[[3]]), tlv(OCTETS, &["cn=a"]), tlv(0x80, &["b"])]);
        assert_eq!(
            hex(&tlv(SEQUENCE, &[integer(1), bind])),
            "3011020101600c0201030404636e3d61800162"
        );
        assert_eq!(hex(&integer(128)), "02020080");
        assert_eq!(hex(&integer(0)), "020100");
        assert_eq!(hex(&tlv(OCTETS, &[[0; 200]])[..3]), "0481c8");
        assert_eq!(hex(&tlv(OCTETS, &[[0; 300]])[..4]), "0482012c");
    }

    #[test]
    fn filters_are_compiled_or_refused() {
        let present = Filter::compile("").unwrap();
        assert_eq!(hex(&present.0), "870b6f626a656374436c617373");
        assert!(Filter::compile("(&(objectClass=person)(|(uid=a*)(mail=\\2a)))").is_ok());
        for wrong in ["objectClass=person)", "(a=b", "(&(a=b)"] {
            assert!(Filter::compile(wrong).is_err(), "{wrong}");
        }
        let deep = "(!".repeat(100_000) + "(a=b)" + &")".repeat(100_000);
        assert_eq!(Filter::compile(&deep).err().unwrap(), "the filter is nested more than 50 deep");
    }

    #[test]
    fn an_answer_that_is_no_ldap_is_none() {
        let done = [integer(2), tlv(DONE, &[tlv(ENUMERATED, &[[32]]), tlv(OCTETS, &["dc=a"])])];
        assert_eq!(read(&done.concat()), None, "it lacks a message");
        for length in 0..64 {
            let garbage: Vec<u8> = (0..length).map(|n: u8| n.wrapping_mul(37)).collect();
            assert_eq!(read(&garbage), None);
        }
    }
}
