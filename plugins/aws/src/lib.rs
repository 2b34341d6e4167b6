//! The Amazon Web Services side of the request path.
