/** Drawn here, so that nothing is loaded. They accompany words and are hidden from screen readers. */
const PATHS = {
  overview: 'M3 12h4l2-7 4 14 2-7h6',
  rows: 'M4 5h16v14H4zM4 10h16M4 14.5h16M10 10v9',
  replicas: 'M8 8h12v12H8zM4 16V4h12',
  letters: 'M3 6h18v13H3zM3 7l9 7 9-7',
  outbox: 'M4 13v6h16v-6M12 15V4m-4 4 4-4 4 4',
  jobs: 'M5 6l2 2 3-4M5 13l2 2 3-4M5 20l2 2 3-4M13 6h7M13 13h7M13 20h7',
  sync: 'M20 11a8 8 0 0 0-14-4L4 9m0-5v5h5M4 13a8 8 0 0 0 14 4l2-2m0 5v-5h-5',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4',
  filter: 'M4 5h16l-6 8v6l-4-2v-4z',
  close: 'M6 6l12 12M18 6L6 18',
  up: 'M12 19V5m-6 6 6-6 6 6',
  down: 'M12 5v14m6-6-6 6-6-6',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  good: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8 12.5l2.7 2.7L16 9.5',
  warn: 'M12 4 2.5 20h19zM12 10v4.5M12 17v.5',
  bad: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 8v5M12 16v.5',
  note: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v6M12 7.5V8',
  unknown: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M12 16.5v.5',
  columns: 'M4 5h16v14H4zM9.5 5v14M15 5v14',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { readonly name: IconName; readonly size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
