use std::io::{Error, ErrorKind, Result};

use futures::stream::{self, StreamExt};
use http::{Request, Response, StatusCode, Uri, header::CONTENT_LENGTH, header::TRANSFER_ENCODING};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Bytes, Frame},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, net::TcpStream, task::yield_now};
use url::Url;

use super::{Body, whole};

/// The server behind the proxy.
pub(crate) struct Upstream {
    host: String,
    port: u16,
    /// What goes before the path of a call.
    prefix: String,
}

impl Upstream {
    pub(crate) fn at(url: &Url) -> Result<Self> {
        let host = url.host_str().filter(|_| url.scheme() == "http");
        let (Some(host), Some(port)) = (host, url.port_or_known_default()) else {
            let error = format!("{url} is not a URL of a server that speaks plain HTTP");
            return Err(Error::new(ErrorKind::InvalidInput, error));
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port, prefix: url.path().trim_end_matches('/').to_owned() })
    }

    /// Has a call answered, as it comes: headers first, then the body bit by bit.
    pub(crate) async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>> {
        let Ok(stream) = TcpStream::connect((&*self.host, self.port)).await else {
            let mut response = Response::new(whole(""));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            return Ok(response);
        };
        stream.set_nodelay(true)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Error::other)?;
        tokio::spawn(connection.with_upgrades());
        let client = hyper::upgrade::on(&mut request);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() =
            format!("{}{path}", self.prefix).parse::<Uri>().map_err(Error::other)?;
        let mut response = sender.send_request(request).await.map_err(Error::other)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let server = hyper::upgrade::on(&mut response);
            tokio::spawn(async move {
                let client = client.await.map_err(Error::other)?;
                let server = server.await.map_err(Error::other)?;
                copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await?;
                Ok::<_, Error>(())
            });
        }
        Ok(response.map(|body| body.map_err(Error::other).boxed_unsync()))
    }
}

/// The first half of an answer; its length is still that of the whole.
pub(super) async fn cut_off(response: Response<Body>) -> Result<Response<Body>> {
    let (mut head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    let half = body.slice(..body.len() / 2);
    let half = stream::once(async move { Ok::<_, Error>(Frame::data(half)) });
    let end = stream::once(async {
        // What is written before is sent only if there is a pause before the error.
        yield_now().await;
        Err::<Frame<Bytes>, _>(Error::other("cut off"))
    });
    let body = StreamBody::new(half.chain(end)).boxed_unsync();
    Ok(Response::from_parts(head, body))
}
