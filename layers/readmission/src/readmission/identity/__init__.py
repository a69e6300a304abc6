"""Who is asking: bearer tokens of an OpenID Connect issuer, what their scopes allow, and the audit log."""
