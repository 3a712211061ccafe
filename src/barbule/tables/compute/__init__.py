"""Values of columns: computed, stored or virtual, and checked."""
