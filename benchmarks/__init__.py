"""Measurements that are run by hand; see README.md in this folder. Not part of the installed
package."""
