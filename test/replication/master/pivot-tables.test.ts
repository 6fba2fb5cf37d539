import { expect, test } from '@jest/globals';
import { Collection } from '@mikro-orm/core';
import { Entity, ManyToMany, ManyToOne, PrimaryKey } from '@mikro-orm/decorators/es';
import { MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { masterService } from '../../support/master-service.js';

/** As docs/guide.md shows it. */
@Entity()
class Tag extends MasterEntity {
  static override CQRS_ID = 'tag';

  @PrimaryKey({ type: 'integer' })
  id!: number;
}

@Entity()
class Post extends MasterEntity {
  static override CQRS_ID = 'post';

  @PrimaryKey({ type: 'integer' })
  id!: number;

  @ManyToMany({ entity: () => Tag, pivotEntity: () => PostTag })
  tags = new Collection<Tag>(this);
}

@Entity()
class PostTag extends MasterEntity {
  static override CQRS_ID = 'post_tag';

  @ManyToOne(() => Post, { primary: true, deleteRule: 'restrict', updateRule: 'no action' })
  post!: Post;

  @ManyToOne(() => Tag, { primary: true, deleteRule: 'restrict', updateRule: 'no action' })
  tag!: Tag;
}

@Entity()
class Plain extends MasterEntity {
  static override CQRS_ID = 'plain';

  @PrimaryKey({ type: 'integer' })
  id!: number;

  @ManyToMany(() => Tag)
  tags = new Collection<Tag>(this);
}

/** No master. */
@Entity()
class Page {
  @PrimaryKey({ type: 'integer' })
  id!: number;

  @ManyToMany(() => Tag)
  tags = new Collection<Tag>(this);
}

test('a pivot table of a relation that a master owns is told at start, with its cure, and no other', async () => {
  await using service = await masterService([Post, Tag, PostTag, Plain, Page]);
  const heard: unknown[] = [];
  service.cqrs.events.on('cqrs.master.uncaptured', (event) => heard.push(event));
  await service.cqrs.check();
  expect(heard).toEqual([
    {
      entity: 'Plain',
      reason: `its relation 'tags' is kept in the pivot table "plain_tags", which does not travel`,
      cure: expect.stringMatching(/pivotEntity.*master/),
    },
  ]);
});

test('a pivot that is a master is captured, whatever the collection does', async () => {
  await using service = await masterService([Post, Tag, PostTag]);
  const sent = async (): Promise<string[]> =>
    (await service.take())
      .filter(({ cqrsId }) => cqrsId === 'post_tag')
      .map(
        ({ signal, data, pk }) => `${signal} ${JSON.stringify(signal === 'DELETE' ? pk : [data['post'], data['tag']])}`,
      );
  const em = service.orm.em.fork();
  const tags = [1, 2, 3].map((id) => em.create(Tag, { id }));
  const post = em.create(Post, { id: 1, tags: tags.slice(0, 2) });
  await em.flush();
  expect(await sent()).toEqual(['SAVE [1,1]', 'SAVE [1,2]']);
  post.tags.remove(tags[0]!);
  post.tags.add(tags[2]!);
  await em.flush();
  expect((await sent()).toSorted()).toEqual(['DELETE [1,1]', 'SAVE [1,3]']);
  post.tags.set([tags[1]!]);
  await em.flush();
  expect(await sent()).toEqual(['DELETE [1,3]']);
  post.tags.removeAll();
  await em.flush();
  em.remove(post);
  await em.flush();
  expect(await sent()).toEqual(['DELETE [1,2]']);
});
