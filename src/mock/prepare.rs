//! The stages before a task: the image, then the container.

use super::Operation;
use super::container::{Container, Core};
use super::play::Image;
use crate::contract::{Context, Error, ErrorKind, Result, State, with_retries};
use crate::unpoisoned::lock;

impl Container {
    pub(super) async fn validate_image(&self, context: &Context) -> Result<bool> {
        self.look(Core::check_open)?;
        self.delay(context, Operation::ValidateImage).await?;
        self.fault(Operation::ValidateImage)?;
        self.change(|core| {
            core.check_open()?;
            if core.state > State::Configured {
                return Ok(false);
            }
            match self.play.image {
                Image::WithVolume => {
                    return Err(Error::new(
                        ErrorKind::ImageWithVolume,
                        "the image declares a volume, which is not allowed",
                    ));
                }
                Image::Gone => core.pull_wanted = true,
                Image::Remote => core.pull_wanted = !core.pulled,
                Image::Present => {}
            }
            if !core.pull_wanted {
                core.state = State::ImageReady;
            }
            Ok(core.pull_wanted)
        })
    }

    pub(super) async fn pull_image(&self, context: &Context) -> Result<()> {
        let there = self.look(|core| {
            core.check_open()?;
            if core.state == State::Configured && !core.pull_wanted {
                return Err(core.wrong_stage("pull_image before validate_image"));
            }
            Ok(core.state > State::Configured)
        })?;
        if there {
            return Ok(());
        }
        let retry = self.driver.retry_policy();
        // Always the longest wait: a script has no use for chance.
        let pulled = with_retries(&retry, context, |ceiling| ceiling, || self.try_pull(context));
        pulled.await.map_err(|error| match error.kind() {
            ErrorKind::DeadlineExceeded => {
                let message = "the image was not there by the deadline";
                Error::caused(ErrorKind::PullTimeout, message, error)
            }
            _ => error,
        })?;
        self.change(|core| {
            core.check_open()?;
            core.pulled = true;
            Ok(())
        })
    }

    /// One try, with the operation's time and fault.
    async fn try_pull(&self, context: &Context) -> Result<()> {
        self.look(Core::check_open)?;
        self.delay(context, Operation::PullImage).await?;
        self.fault(Operation::PullImage)
    }

    pub(super) async fn create_container(&self, context: &Context) -> Result<()> {
        let check = |core: &Core| {
            core.check_open()?;
            match core.state {
                State::Configured => Err(core.wrong_stage("create_container")),
                State::ImageReady => Ok(false),
                _ => Ok(true),
            }
        };
        if self.look(check)? {
            return Ok(());
        }
        self.delay(context, Operation::CreateContainer).await?;
        self.fault(Operation::CreateContainer)?;
        // Whoever still changes the specification comes first.
        let spec = lock(&self.spec);
        let stdout = self.play.stdout_from.as_ref().map(|text| text(&spec));
        self.change(|core| {
            if check(core)? {
                return Ok(());
            }
            self.driver.take_id(&self.id)?;
            core.has_id = true;
            core.stdout = stdout.unwrap_or_default();
            core.state = State::Created;
            Ok(())
        })
    }
}
