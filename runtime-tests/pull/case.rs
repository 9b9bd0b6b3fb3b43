//! What a hostile registry does, and what has to come of it.

use super::image::{Image, REPOSITORY, TAG};
use super::order::{Order, Who};
use super::place::Place;
use crate::corpus_page::Row;
use crate::registry::{Content, On, Registry, Rule};

pub const USER: &str = "some-user";
/// No word of these may ever be said to a stranger, or written anywhere.
pub const PASSWORD: &str = "pass-7f3a9c1e55";
pub const IDENTITY: &str = "identity-55d0b8a2c4";
pub const TOKEN: &str = "bearer-91c7e6d3f0";
pub const SIGNATURE: &str = "signature-3b2f80aa17";
/// As tokens of the test's own token servers end.
pub const GIVEN: &str = "-for-repository-some-image-pull";

/// One row of the page: registries that try the same thing in several forms.
pub struct Case {
    pub name: &'static str,
    /// The published weakness it stands for, or the class in a few words.
    pub stands_for: &'static str,
    pub forms: Vec<Form>,
}

impl Case {
    /// The case on the page.
    pub fn row(&self) -> Row {
        let expected = self.forms.iter().map(|form| form.expect.word()).collect();
        Row { name: self.name, stands_for: self.stands_for, expected }
    }
}

/// One registry with everything around it.
pub struct Form {
    pub name: String,
    pub make: Make,
    pub expect: Expect,
}

type Make = Box<dyn Fn(&Place) -> Scene + Send + Sync>;

/// The servers of a form, and what is pulled from them.
pub struct Scene {
    /// The one that the image's name has. It may see what it is for.
    pub registry: Registry,
    /// Who may see it, too: where the registry legitimately sends for tokens.
    pub friends: Vec<Registry>,
    /// Who may be asked, but never with a secret.
    pub strangers: Vec<Registry>,
    /// Whom nobody may even come near to.
    pub forbidden: Vec<Registry>,
    pub image: Image,
    pub order: Order,
    /// What was asked at most: so many requests of a kind, by the registry's own count.
    pub most: Vec<(On, usize)>,
}

/// What has to come of it.
#[derive(Clone)]
pub enum Expect {
    /// The image is pulled, whole and right.
    Pulled,
    /// It is not. The error holds each of these texts.
    Refused(Vec<String>),
    /// It is not, and the error also knows HTTP's status.
    Answered(u16, Vec<String>),
    /// It is not, because time was up.
    Late,
}

pub fn case(name: &'static str, stands_for: &'static str, forms: Vec<Form>) -> Case {
    Case { name, stands_for, forms }
}

impl Form {
    fn new(
        name: &str,
        expect: Expect,
        change: impl Fn(&Place, &mut Scene) + Send + Sync + 'static,
    ) -> Form {
        let make = move |place: &Place| {
            let mut scene = Scene::honest(place);
            change(place, &mut scene);
            scene
        };
        Form { name: name.to_owned(), make: Box::new(make), expect }
    }
}

pub fn pulled(name: &str, change: impl Fn(&Place, &mut Scene) + Send + Sync + 'static) -> Form {
    Form::new(name, Expect::Pulled, change)
}

pub fn refused(
    name: &str,
    says: &[&str],
    change: impl Fn(&Place, &mut Scene) + Send + Sync + 'static,
) -> Form {
    Form::new(name, Expect::Refused(owned(says)), change)
}

pub fn answered(
    name: &str,
    status: u16,
    says: &[&str],
    change: impl Fn(&Place, &mut Scene) + Send + Sync + 'static,
) -> Form {
    Form::new(name, Expect::Answered(status, owned(says)), change)
}

pub fn late(name: &str, change: impl Fn(&Place, &mut Scene) + Send + Sync + 'static) -> Form {
    Form::new(name, Expect::Late, move |place, scene| {
        change(place, scene);
        scene.order.patience = 300;
    })
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Expect {
    pub fn word(&self) -> &'static str {
        match self {
            Expect::Pulled => "pulled",
            Expect::Refused(_) | Expect::Answered(..) => "refused",
            Expect::Late => "timed out",
        }
    }
}

impl Scene {
    /// A registry that does everything right, with TLS, at an address that looks public.
    pub fn honest(place: &Place) -> Scene {
        Scene::at(place, "registry.example")
    }

    pub fn at(place: &Place, host: &str) -> Scene {
        let image = Image::usual();
        let mut content = Content::default();
        image.put(&mut content);
        Scene::with(place, host, place.server(host, content), image)
    }

    pub fn with(place: &Place, host: &str, registry: Registry, image: Image) -> Scene {
        let port = registry.address().port();
        let name = format!("{host}:{port}/{REPOSITORY}:{TAG}");
        Scene {
            order: Order::of(&name, &place.authority.certificate()),
            registry,
            friends: Vec::new(),
            strangers: Vec::new(),
            forbidden: Vec::new(),
            image,
            most: Vec::new(),
        }
    }

    /// `host:port` of the registry, as settings name it.
    pub fn host(&self) -> String {
        self.order.image.split_once('/').unwrap().0.to_owned()
    }

    pub fn when(&mut self, rule: Rule) -> &mut Scene {
        self.registry.when(rule);
        self
    }

    /// Pulled by somebody with a password.
    pub fn as_user(&mut self) -> &mut Scene {
        self.order.who = Who::Basic(USER.to_owned(), PASSWORD.to_owned());
        self
    }

    /// With another image in place of the usual one.
    pub fn having(&mut self, image: Image) -> &mut Scene {
        self.registry.stock(|content| {
            *content = Content::default();
            image.put(content);
        });
        self.image = image;
        self
    }

    /// Pulled by somebody who does not wait for long. No answer that is to be taken may take that long on a
    /// busy machine, either.
    pub fn in_a_hurry(&mut self) -> &mut Scene {
        self.order.patience = 2500;
        self
    }

    /// At most so many requests.
    pub fn at_most(&mut self, on: On, times: usize) -> &mut Scene {
        self.most.push((on, times));
        self
    }
}

/// A server's address as a URL with one of its names.
pub fn url(scheme: &str, host: &str, server: &Registry, path: &str) -> String {
    format!("{scheme}://{host}:{}{path}", server.address().port())
}
