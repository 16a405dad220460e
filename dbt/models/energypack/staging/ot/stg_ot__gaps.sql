{{ ot_gaps('energypack_tags') }}
