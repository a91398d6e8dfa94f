//! Who may speak? TLS 1.3 with raw public keys (RFC 7250) in both directions, and nothing else.
//!
//! The key is the identity: replicas pin each other's keys and clients pin the replicas'. No
//! certificate expires, nothing is resumed (a resumed session would skip the check of the key) and
//! no data travels before the handshake has ended.

use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quorate_types::{PublicKey, Scheme, SecretKey, VerifyKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// ALPN of the connections between replicas.
pub const ALPN_PEER: &[u8] = b"quorate-peer/1";
/// ALPN of the connections from clients to replicas.
pub const ALPN_CLIENT: &[u8] = b"quorate-client/1";

/// Whose keys are accepted.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// These keys, and no stranger's.
    Members(BTreeSet<PublicKey>),
    /// The pinned key of the replica that is dialled.
    Only(PublicKey),
    /// Any key that is not weak.
    Anyone,
}

/// The TLS side of a socket that accepts connections.
pub(crate) fn server(key: &SecretKey, alpn: &[u8], trust: Trust) -> Arc<QuicServerConfig> {
    let resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(key)));
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring supports TLS 1.3")
        .with_client_cert_verifier(Arc::new(Verifier { trust }))
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config.try_into().expect("the provider has the initial cipher suite"))
}

/// The TLS side of a dialled connection to the replica with the key `pinned`.
pub(crate) fn client(key: &SecretKey, alpn: &[u8], pinned: PublicKey) -> Arc<QuicClientConfig> {
    client_with(certified(key), alpn, pinned)
}

pub(crate) fn client_with(
    certified: Arc<CertifiedKey>,
    alpn: &[u8],
    pinned: PublicKey,
) -> Arc<QuicClientConfig> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring supports TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { trust: Trust::Only(pinned) }))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified)));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Arc::new(config.try_into().expect("the provider has the initial cipher suite"))
}

/// The key that the other end proved in the handshake.
pub(crate) fn peer_key(connection: &quinn::Connection) -> Option<PublicKey> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    raw_key(identity.first()?)
}

pub(crate) fn certified(key: &SecretKey) -> Arc<CertifiedKey> {
    let public = key.ed25519().verifying_key().to_public_key_der().expect("a key has an encoding");
    let secret = key.ed25519().to_pkcs8_der().expect("a key has an encoding");
    let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(secret.as_bytes()));
    let signer = signer.expect("ring reads the encoding of an Ed25519 key");
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(public.into_vec())], signer))
}

/// One elliptic curve and two cipher suites: AES, and ChaCha20 for machines without AES instructions.
fn provider() -> Arc<CryptoProvider> {
    let suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    let kx_groups = vec![ring::kx_group::X25519];
    Arc::new(CryptoProvider { cipher_suites: suites, kx_groups, ..ring::default_provider() })
}

fn raw_key(spki: &CertificateDer<'_>) -> Option<PublicKey> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    Some(PublicKey(key.try_into().ok()?))
}

/// Judges the other end's key, for both directions.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
}

impl Verifier {
    /// The errors are chosen by the alert that rustls makes of them, which names the reason to the
    /// other end: see [`crate::Reason`].
    fn judge(&self, presented: &CertificateDer<'_>) -> Result<(), Error> {
        let key = raw_key(presented).ok_or(CertificateError::BadEncoding)?;
        let accepted = match &self.trust {
            Trust::Members(keys) if !keys.contains(&key) => {
                Err(CertificateError::ApplicationVerificationFailure)
            }
            Trust::Only(pinned) if *pinned != key => Err(CertificateError::UnknownIssuer),
            _ => Ok(()),
        };
        accepted?;
        VerifyKey::new(Scheme::Ed25519, &key).map_err(|_| CertificateError::BadEncoding)?;
        Ok(())
    }

    fn verify(
        message: &[u8],
        presented: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(presented.as_ref());
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &spki, signed, &algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// What precedes the 32 bytes of every Ed25519 key in DER (RFC 8410).
pub(crate) const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
