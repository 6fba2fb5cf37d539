export function ReplicasPage() {
  return null;
}
