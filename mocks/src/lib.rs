//! Stand-ins for the world, for tests: each serves what a bundle holds over the real wire, on a port
//! of the loopback interface. They know no plugin, so they can only speak what the wire speaks.

mod aws;
mod cloudformation;
mod fault_proxy;
mod google;
mod kubernetes;
mod outside;
mod served;
mod server;
mod tunnel;

pub use aws::{AwsMock, KEYS, Models, TOKENS};
pub use cloudformation::{
    AwsCall, CloudFormation, CloudFormationMock, Event, Moment, Output, Owned, Resource, Stack,
    Then, Wording, World, Worlds,
};
pub use fault_proxy::{Api, Fault, FaultProxy, Proxy, Times};
pub use google::{Documents, GoogleMock, TokenMock};
pub use kubernetes::{Kind, KubernetesMock, kubeconfig};
pub use outside::{Directory, Outside, OutsideMock};
pub use served::Served;
pub use server::{Call, Headers, Server};
pub use tunnel::Tunnel;
