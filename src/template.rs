//! Templates: catalogues, manifests, rendering.
