//! A CRI client, as a kubelet has one, for tests that wait for every answer.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{ImageSpec, ImageStatusRequest, VersionRequest};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

/// The runtime service, over a connection.
pub(crate) type RuntimeClient = RuntimeServiceClient<Channel>;

/// An answer that comes later.
pub(crate) type Begun<T> = JoinHandle<Result<Response<T>, Status>>;

/// Both services of a daemon, over one connection.
#[derive(Debug)]
pub(crate) struct Client {
    tokio: Runtime,
    runtime: RuntimeClient,
    images: ImageServiceClient<Channel>,
}

impl Client {
    /// Connects, as soon as the daemon's CRI plugin answers.
    pub(crate) fn connect(socket: &Path) -> Result<Self, Status> {
        let tokio = Builder::new_current_thread().enable_all().build().expect("tokio runtime");
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        // The name is not used, the connector has the path. Only what hangs is ended.
        let endpoint = Endpoint::from_static("http://localhost").timeout(red_tests::patience(120));
        let channel = tokio.block_on(async { endpoint.connect_with_connector_lazy(connector) });
        let this = Self {
            tokio,
            runtime: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
        };
        let mut last = Ok(());
        let end = Instant::now() + red_tests::patience(20);
        while Instant::now() < end {
            let output = this.ask(|mut cri| async move { cri.version(VersionRequest::default()).await });
            last = output.map(drop);
            if last.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        last.map(|()| this)
    }

    /// Asks the runtime service.
    pub(crate) fn ask<T, F>(&self, ask: impl FnOnce(RuntimeClient) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.tokio.block_on(ask(self.runtime.clone())).map(Response::into_inner)
    }

    /// Asks the runtime service for many things at once.
    pub(crate) fn ask_all<T, F>(
        &self,
        requests: impl IntoIterator<Item = impl FnOnce(RuntimeClient) -> F>,
    ) -> Vec<Result<T, Status>>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        self.tokio.block_on(async {
            let asked: Vec<_> =
                requests.into_iter().map(|request| tokio::spawn(request(self.runtime.clone()))).collect();
            let mut answers = Vec::new();
            for answer in asked {
                let answer = answer.await.unwrap_or_else(|error| Err(Status::internal(error.to_string())));
                answers.push(answer.map(Response::into_inner));
            }
            answers
        })
    }

    /// Asks without waiting: the headers of a stream come with its first message.
    pub(crate) fn begin<T, F>(&self, ask: impl FnOnce(RuntimeClient) -> F) -> Begun<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        self.tokio.spawn(ask(self.runtime.clone()))
    }

    /// Waits for what was begun.
    pub(crate) fn finish<T>(&self, begun: Begun<T>) -> Result<T, Status> {
        let answer =
            self.tokio.block_on(begun).unwrap_or_else(|error| Err(Status::internal(error.to_string())));
        answer.map(Response::into_inner)
    }

    /// The next message of a stream, if one comes within a moment.
    pub(crate) fn next<T>(&self, stream: &mut Streaming<T>) -> Option<T> {
        self.tokio.block_on(async {
            let next = tokio::time::timeout(Duration::from_millis(100), stream.message()).await;
            next.ok()?.ok()?
        })
    }

    /// Whether CRI knows an image: what is imported beside it is told by an event.
    pub(crate) fn has_image(&self, name: &str) -> bool {
        let image = Some(ImageSpec { image: name.into(), ..ImageSpec::default() });
        let request = ImageStatusRequest { image, verbose: false };
        let mut images = self.images.clone();
        let output = self.tokio.block_on(async { images.image_status(request).await });
        output.is_ok_and(|output| output.into_inner().image.is_some())
    }
}
