//! A driver of generation B as users wrote them, with nothing that came later. For tests.

use super::*;

/// The facade without anything that generation B did not have.
pub(super) struct Plain(pub(super) b::Facade);
struct PlainCookie(Box<dyn b::Cookie>);

#[async_trait]
impl b::Driver for Plain {
    async fn prepare(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn b::Cookie>> {
        Ok(Box::new(PlainCookie(self.0.prepare(context, task).await?)))
    }
}

#[async_trait]
impl b::Cookie for PlainCookie {
    async fn run(&self, context: &Context) -> Result<Box<dyn b::WaitResult>> {
        self.0.run(context).await
    }

    async fn freeze(&self, context: &Context) -> Result<()> {
        self.0.freeze(context).await
    }

    async fn unfreeze(&self, context: &Context) -> Result<()> {
        self.0.unfreeze(context).await
    }

    async fn close(&self, context: &Context) -> Result<()> {
        self.0.close(context).await
    }
}
