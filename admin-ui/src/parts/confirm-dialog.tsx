import { AlertDialog } from '@base-ui/react/alert-dialog';
import type { ReactNode } from 'react';

/** Asks before something that matters. Escape and "Cancel" mean no; the focus returns to where it was. */
export function ConfirmDialog({
  open,
  title,
  children,
  confirm,
  isDangerous = false,
  isBusy = false,
  onConfirm,
  onClose,
}: {
  readonly open: boolean;
  readonly title: string;
  readonly children: ReactNode;
  /** The words on the button that does it. */
  readonly confirm: string;
  readonly isDangerous?: boolean;
  readonly isBusy?: boolean;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}) {
  return (
    <AlertDialog.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <AlertDialog.Portal>
        <AlertDialog.Backdrop className="backdrop" />
        <AlertDialog.Popup className="dialog">
          <AlertDialog.Title render={<h2 />}>{title}</AlertDialog.Title>
          <AlertDialog.Description render={<div className="soft" />}>{children}</AlertDialog.Description>
          <div className="actions">
            <AlertDialog.Close className="button">Cancel</AlertDialog.Close>
            <button
              type="button"
              className={`button ${isDangerous ? 'danger filled' : 'primary'}`}
              disabled={isBusy}
              onClick={onConfirm}
            >
              {confirm}
            </button>
          </div>
        </AlertDialog.Popup>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
