package vfs

// ColdOpener is an FS that can read files without leaving them in the page cache, or taking from it what others read.
type ColdOpener interface {
	// OpenCold is OpenRead for one goroutine that reads a file once, from its beginning to its end, and wants what is on the disk. What the operating system has in memory is
	// left alone where it can be.
	OpenCold(name string) (File, error)
}

// OpenCold opens a file past the page cache where the file system can, else as OpenRead does.
func OpenCold(fs FS, name string) (File, error) {
	if c, ok := fs.(ColdOpener); ok {
		return c.OpenCold(name)
	}
	return fs.OpenRead(name)
}
