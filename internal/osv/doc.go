// Package osv looks up known vulnerabilities of Python packages in a local copy
// of the OSV database, in the layout that osv-scanner's offline mode keeps: one
// zip with one JSON document an advisory (OSV schema 1.7). It opens no
// connection and evaluates nothing; an advisory that cannot be read or decided
// is counted and named, never taken for one that does not apply.
package osv

// Bounds on what is read of a database. A database is made by others and may
// have been replaced; whatever is beyond a bound is left out and counted, or the
// whole is refused.
const (
	maxZip     = 1 << 30   // 1 GiB: the archive
	maxEntries = 1_000_000 // advisories in the archive
	maxRecord  = 4 << 20   // 4 MiB: one advisory, unpacked
	maxTotal   = 4 << 30   // 4 GiB: all advisories, unpacked
	maxIndex   = 256 << 20 // 256 MiB: the index file
	maxID      = 128       // bytes of an advisory's id
	maxNamed   = 20        // advisories left out that are named; all are counted
	maxEvents  = 10_000    // events of one range
	maxAliases = 1000      // aliases of one advisory
	maxText    = 400       // bytes of a short description
	maxHits    = 10_000    // advisories that affect packages of one look-up
	maxOpen    = 1000      // undecided advisories of one look-up that are named; all are counted
	maxParsed  = 100_000   // versions of one project that are remembered as parsed
)
