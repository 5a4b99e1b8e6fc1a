-- What the dataset says is in one document store: documents, revisions and renditions.
SELECT uri AS record_uri, resid, rebytes AS bytes, rehash AS hash, redatemod AS modified_at
  FROM tsrecelec WHERE restore = :store_number
UNION ALL
SELECT rvrecuri, resid, rvbytes, rvhash, NULL
  FROM tserecvsn WHERE restore = :store_number
UNION ALL
SELECT rdrecuri, resid, rdbytes, rdhash, NULL
  FROM tsrenditio WHERE restore = :store_number
