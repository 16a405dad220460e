"""Landing: what arrives from source systems and partners, as it came, in namespace raw."""
