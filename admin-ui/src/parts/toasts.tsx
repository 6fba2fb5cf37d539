import { Toast } from '@base-ui/react/toast';
import { failureOf } from '../api/client.ts';
import { Icon } from './icons.tsx';

/** Short words about what an action came to; read out by screen readers. */
export const toasts = Toast.createToastManager();

export const tell = (title: string, description?: string): void =>
  void toasts.add({ title, description, type: 'good', timeout: 6_000 });

export function tellFailure(error: unknown): void {
  const { message, cure } = failureOf(error);
  toasts.add({ title: message, description: cure ?? undefined, type: 'bad', timeout: 15_000, priority: 'high' });
}

export function Toasts() {
  return (
    <Toast.Provider toastManager={toasts}>
      <Toast.Portal>
        <Toast.Viewport className="toasts">
          <List />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function List() {
  return Toast.useToastManager().toasts.map((toast) => (
    <Toast.Root key={toast.id} toast={toast} className="toast">
      <div>
        <Toast.Title render={<strong />} />
        <Toast.Description className="soft" />
      </div>
      <Toast.Close className="button quiet small" aria-label="Dismiss">
        <Icon name="close" size={14} />
      </Toast.Close>
    </Toast.Root>
  ));
}
