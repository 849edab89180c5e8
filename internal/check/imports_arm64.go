package check

// waitsForEverLegacy has nothing to know here: all waiting calls are generic.
func waitsForEverLegacy(int, func(arg int) bool) bool { return false }
