{{ ot_gaps('factorypack_tags') }}
