import { Icon } from './icons.tsx';

/** One page back or on; null where there is none. */
export function PageButtons({
  onPrevious,
  onNext,
}: {
  readonly onPrevious: (() => void) | null;
  readonly onNext: (() => void) | null;
}) {
  return (
    <>
      <button type="button" className="button" disabled={!onPrevious} onClick={onPrevious ?? undefined}>
        <Icon name="left" size={15} />
        Previous
      </button>
      <button type="button" className="button" disabled={!onNext} onClick={onNext ?? undefined}>
        Next
        <Icon name="right" size={15} />
      </button>
    </>
  );
}
