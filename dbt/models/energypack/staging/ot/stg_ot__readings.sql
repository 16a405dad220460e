{{ ot_readings('energypack_tags') }}
