import { Dialog } from '@base-ui/react/dialog';
import type { ReactNode } from 'react';
import { Icon } from './icons.tsx';

/** One thing in detail, over the list it is from. */
export function Drawer({
  title,
  subtitle,
  onClose,
  children,
}: {
  readonly title: ReactNode;
  readonly subtitle?: ReactNode;
  readonly onClose: () => void;
  readonly children: ReactNode;
}) {
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog drawer">
          <div className="dialog-head">
            <div>
              <Dialog.Title render={<h1 />}>{title}</Dialog.Title>
              {subtitle && <div className="soft">{subtitle}</div>}
            </div>
            <Dialog.Close className="button quiet" aria-label="Close">
              <Icon name="close" />
            </Dialog.Close>
          </div>
          {children}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
