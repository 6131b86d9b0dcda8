"""The policies that come with tailsampler, one file each; they enter through the same entry points as anyone's."""
