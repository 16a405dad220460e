{{ ot_readings('factorypack_tags') }}
