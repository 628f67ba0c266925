import { ClientsApi, Configuration, ResponseError, UsersApi } from "./ts/index";

export async function use(basePath: string, accessToken: string): Promise<string[]> {
  const configuration = new Configuration({ basePath, accessToken });
  const users = new UsersApi(configuration);
  const made = await users.createUser({ newUser: { email: "ts@example.com", name: "Type Script" } });
  const changed = await users.updateUser({ id: made.id, userPatch: { nickname: "T", gender: null } });
  const page = await users.users({ search: "script" });
  const client = await new ClientsApi(configuration).createClient({ clientRegistration: { clientName: "TS", grantTypes: ["client_credentials"] } });
  let code = "";
  try {
    await users.userDetail({ id: "nobody" });
  } catch (e) {
    if (e instanceof ResponseError) code = (await e.response.json()).error;
  }
  return [changed.nickname, String(page.total), page.data[0].email, client.clientSecret ? "secret" : "", code];
}
