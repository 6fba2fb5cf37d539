"""Named in the settings, so nothing of Django may be imported here."""


def correlation_id(signal_type, cqrs_id, instance_pk, queue):
    return f'{signal_type}/{cqrs_id}/{instance_pk}' if cqrs_id == 'noted' else None
