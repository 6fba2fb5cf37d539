/**
 * Message headers of ours. They are comforts, never needed for correctness: a Python replica that puts a message back
 * drops them, so whatever must survive travels in the body as well.
 */
export const Header = {
  /** When the change was committed, in milliseconds since 1970: the age of a message is counted from here. */
  committedAt: 'x-cqrs-committed-at',
  /** Which database announced the change: two under one CQRS_ID are a mistake. A text that says nothing else. */
  origin: 'x-cqrs-origin',
  /** When a foreign key was first found missing, in milliseconds since 1970. */
  waitingSince: 'x-cqrs-waiting-since',
  /** Why a message was put back or became a dead letter. */
  reason: 'x-cqrs-reason',
} as const;
