package evidence

// IndexProject is what one index answered about a project when the installer
// asked: the page of the simple repository API (PEP 503, 691, 700, 714, 740, 792),
// as far as it was understood. Empty means that the index did not say.
type IndexProject struct {
	// Name is the normalised project name, Index the index without credentials.
	Name  string
	Index string
	// Format is json, html, or local for a directory or file of the user's.
	Format string
	// APIVersion is the version of the API: "1.0" when the page states none.
	APIVersion string
	// Status is the project's status (PEP 792), StatusReason what the index added.
	Status       string
	StatusReason string
	// Versions is the index's own list (PEP 700), in its order; nil when it gave none.
	Versions []string
	// Files are the files of the page, in its order; Cut is how many files and
	// versions were left out.
	Files []IndexFile
	Cut   int
}

// IndexFile is one file of a project, as the index describes it.
type IndexFile struct {
	Filename string
	// Digests is the set that the index announced; URL is without credentials.
	Digests DigestSet
	URL     string
	Size    int64 // bytes; -1 when not given
	// UploadTime is RFC 3339; Yanked is "true" or the reason; Provenance the URL of
	// the provenance object (PEP 740).
	UploadTime string
	Yanked     string
	Provenance string
}

// Provenance is what came of asking for the provenance object of one file.
type Provenance struct {
	Filename string
	SHA256   string // of the file
	URL      string // of the object, without credentials
	// Body is the object as it came: it is judged by whoever reads it. It is nil when
	// there is none; Unavailable says why.
	Body        []byte
	Unavailable string
	// Cached is true when it was kept from an earlier run.
	Cached bool
}
