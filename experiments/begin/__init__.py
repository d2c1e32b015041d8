"""`--init`: a folder of images is looked at, and a matrix that fits it is written."""
