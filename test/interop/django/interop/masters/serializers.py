class AlbumSerializer:
    def __init__(self, album):
        self.data = {
            'id': album.id,
            'name': album.name,
            'writer': {'id': album.writer.id, 'name': album.writer.name},
        }
