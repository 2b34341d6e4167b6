use serde_json::{Map, Value};

/// What a value looks like, as a model says it.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    all: &'a Map<String, Value>,
    own: &'a Value,
    /// What is said where it is referred to.
    here: &'a Value,
}

/// The kinds of shapes, as far as they differ here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Structure,
    List,
    Map,
    Text,
    Whole,
    Number,
    Boolean,
    Time,
    /// Bytes, in Base64.
    Bytes,
    /// Any JSON.
    Document,
}

impl<'a> Shape<'a> {
    /// The shape of that name; an empty structure if there is none.
    pub(super) fn named(all: &'a Map<String, Value>, name: &str) -> Self {
        Self { all, own: all.get(name).unwrap_or(&Value::Null), here: &Value::Null }
    }

    fn at(self, here: &'a Value) -> Self {
        let named = Self::named(self.all, here["shape"].as_str().unwrap_or_default());
        Self { here, ..named }
    }

    pub(super) fn kind(self) -> Kind {
        match self.own["type"].as_str() {
            _ if self.own["document"] == true => Kind::Document,
            Some("list") => Kind::List,
            Some("map") => Kind::Map,
            Some("integer" | "long") => Kind::Whole,
            Some("double" | "float") => Kind::Number,
            Some("boolean") => Kind::Boolean,
            Some("timestamp") => Kind::Time,
            Some("blob") => Kind::Bytes,
            Some("string") => Kind::Text,
            _ => Kind::Structure,
        }
    }

    /// The members of a structure, by name.
    pub(super) fn members(self) -> impl Iterator<Item = (&'a str, Self)> {
        let members = self.own["members"].as_object().into_iter().flatten();
        members.map(move |(name, here)| (name.as_str(), self.at(here)))
    }

    /// A member of a structure.
    pub(super) fn member(self, name: &str) -> Option<Self> {
        self.own["members"].get(name).map(|here| self.at(here))
    }

    /// What a list is of.
    pub(super) fn item(self) -> Self {
        self.at(&self.own["member"])
    }

    /// The keys of a map.
    pub(super) fn key(self) -> Self {
        self.at(&self.own["key"])
    }

    /// The values of a map.
    pub(super) fn value(self) -> Self {
        self.at(&self.own["value"])
    }

    /// The name it has on the wire, where that differs from the member's.
    pub(super) fn wire_name(self) -> Option<&'a str> {
        self.here["locationName"].as_str()
    }

    /// The same for EC2's requests.
    pub(super) fn query_name(self) -> Option<&'a str> {
        self.here["queryName"].as_str()
    }

    /// Where of a request or an answer it is: `uri`, `querystring`, …; none: in the body.
    pub(super) fn location(self) -> Option<&'a str> {
        self.here["location"].as_str()
    }

    /// Whether a list's items stand where the list would.
    pub(super) fn flattened(self) -> bool {
        self.own["flattened"] == true || self.here["flattened"] == true
    }

    /// The members that a structure can't be without.
    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        self.own["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// The values that a text may have; none: any.
    pub(super) fn values(self) -> Option<&'a Vec<Value>> {
        self.own["enum"].as_array()
    }

    /// Whether a number, or how many there are of it, is within its limits.
    pub(super) fn admits(self, number: i64) -> bool {
        let limit = |name: &str| self.own[name].as_i64();
        limit("min").is_none_or(|least| least <= number)
            && limit("max").is_none_or(|most| number <= most)
    }
}
