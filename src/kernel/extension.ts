/** The name under which a `Cqrs` registers itself with MikroORM: `em.config.getExtension(EXTENSION)`. */
export const EXTENSION = 'mikro-orm-cqrs';
