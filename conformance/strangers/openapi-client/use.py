import sys
sys.path.insert(0, sys.argv[3])
import openapi_client as gatehouse

configuration = gatehouse.Configuration(host=sys.argv[1], access_token=sys.argv[2])
with gatehouse.ApiClient(configuration) as client:
    users = gatehouse.UsersApi(client)
    made = users.create_user(gatehouse.NewUser(email="py@example.com", name="Py Thon"))
    changed = users.update_user(made.id, gatehouse.UserPatch(nickname="P", gender=None))
    page = users.users(search="thon")
    app = gatehouse.ClientsApi(client).create_client(
        gatehouse.ClientRegistration(client_name="Py", grant_types=["client_credentials"]))
    try:
        users.user_detail("nobody")
    except gatehouse.ApiException as e:
        code = e.data.error
    print(changed.nickname, page.total, page.data[0].email, "secret" if app.client_secret else "", code)
