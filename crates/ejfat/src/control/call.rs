//! The calls, each with the path it has in HTTP.

/// The eleven calls of a control plane that senders and receivers need, and one of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Reserve,
    Get,
    Status,
    Free,
    AddSenders,
    RemoveSenders,
    Register,
    Deregister,
    SendState,
    Overview,
    Version,
    /// A software load balancer asks for what it balances by. ESnet's control plane writes to its hardware instead.
    Tables,
}

impl Call {
    const ALL: [Self; 12] = [
        Self::Reserve,
        Self::Get,
        Self::Status,
        Self::Free,
        Self::AddSenders,
        Self::RemoveSenders,
        Self::Register,
        Self::Deregister,
        Self::SendState,
        Self::Overview,
        Self::Version,
        Self::Tables,
    ];

    pub fn path(self) -> &'static str {
        match self {
            Self::Reserve => "/loadbalancer.LoadBalancer/ReserveLoadBalancer",
            Self::Get => "/loadbalancer.LoadBalancer/GetLoadBalancer",
            Self::Status => "/loadbalancer.LoadBalancer/LoadBalancerStatus",
            Self::Free => "/loadbalancer.LoadBalancer/FreeLoadBalancer",
            Self::AddSenders => "/loadbalancer.LoadBalancer/AddSenders",
            Self::RemoveSenders => "/loadbalancer.LoadBalancer/RemoveSenders",
            Self::Register => "/loadbalancer.LoadBalancer/Register",
            Self::Deregister => "/loadbalancer.LoadBalancer/Deregister",
            Self::SendState => "/loadbalancer.LoadBalancer/SendState",
            Self::Overview => "/loadbalancer.LoadBalancer/Overview",
            Self::Version => "/loadbalancer.LoadBalancer/Version",
            Self::Tables => "/streamharness.Balancer/Tables",
        }
    }

    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.path() == path)
    }
}
