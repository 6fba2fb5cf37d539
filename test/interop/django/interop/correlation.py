"""Named in the settings, so nothing of Django may be imported here."""


# What is called once, with a message that is complete: the payload asks for its correlation id last.
before_publishing = []


def correlation_id(signal_type, cqrs_id, instance_pk, queue):
    while before_publishing:
        before_publishing.pop()()
    return f'{signal_type}/{cqrs_id}/{instance_pk}' if cqrs_id == 'noted' else None
