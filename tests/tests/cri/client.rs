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
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// Both services of a daemon, over one connection.
#[derive(Debug)]
pub(crate) struct Client {
    tokio: Runtime,
    runtime: RuntimeServiceClient<Channel>,
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
        let endpoint = Endpoint::from_static("http://localhost").timeout(Duration::from_secs(120));
        let channel = tokio.block_on(async { endpoint.connect_with_connector_lazy(connector) });
        let this = Self {
            tokio,
            runtime: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
        };
        let mut last = Ok(());
        let end = Instant::now() + Duration::from_secs(20);
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
    pub(crate) fn ask<T, F>(&self, ask: impl FnOnce(RuntimeServiceClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.tokio.block_on(ask(self.runtime.clone())).map(Response::into_inner)
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
