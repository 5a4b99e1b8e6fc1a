-- What the dataset counts in one document store.
SELECT esitems AS items, esbytes AS bytes FROM tselecstor WHERE uri = :store_number
