package pypi

// Limits on what is read from an environment or from a user's files. A file
// above its limit is reported as a problem of its distribution, never cut in
// silence.
const (
	maxMetadataSize    = 8 << 20   // 8 MiB: METADATA, WHEEL, entry_points.txt; descriptions reach some 500 KiB
	maxRecordSize      = 64 << 20  // 64 MiB: RECORD; some 10 MiB for 100,000 files
	maxRecordEntries   = 1_000_000 // lines of one RECORD
	maxReportSize      = 256 << 20 // 256 MiB: the installer's report, which repeats every description
	maxDirectURLSize   = 1 << 20   // 1 MiB: direct_url.json
	maxRequirementFile = 8 << 20   // 8 MiB: one requirements or constraints file
	maxRequirementDeep = 32        // requirement files that include each other, nesting levels
	maxRequirements    = 100_000   // lines over all included requirement files
	maxRequirementLen  = 32 << 10  // 32 KiB: one requirement or marker
	maxMarkerDepth     = 64        // parentheses in a marker
	maxMarkerWork      = 256 << 20 // 256 MiB: requirements evaluated for one graph, each as often as there are extras
	maxVersionLen      = 256       // bytes of one version
	maxNameLen         = 512       // bytes of a distribution file name
	maxModuleDepth     = 64        // directories above a module
	maxInfoDirs        = 20_000    // distributions in one site directory
)
