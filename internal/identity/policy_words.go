package identity

// commonWords are what guessing programs try first, alone, in pairs and with digits around. Each stands between two spaces.
const commonWords = " " +
	"112233 121212 123123 123321 1234qwer 123qwe 123qweasd 147258369 159753 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx " +
	"1qazxsw2 3rjs1la7qe 654321 666666 696969 7777777 987654321 a1b2c3 a1b2c3d4 aaaaaa abc abc123 abcd abcde " +
	"abcdef abcdefg access account accounts admin admin123 administrator alexander alexandra always amanda " +
	"amazon amen america american andrea andrew angel angels anthony apple apples april argentina arsenal asd123 " +
	"asdf asdfgh asdfghjkl ashley asshole audi august austin australia authenticate autumn avengers azerty baby " +
	"babyboy babygirl bailey banana barbara barcelona baseball basketball batman battery bayern bear beatles " +
	"beautiful beauty beer benfica benvenuto berlin bestfriend bible bienvenido bienvenue birthday bitch bitcoin " +
	"black blank blessed blessing blink blinkme blossom blue bmw bonjour boston boxing brandon brasil brazil " +
	"brian broncos brother bunny business buster butterfly california camaro canada candy car cash casino celtic " +
	"champion change changeme charles charlie cheer cheese chelsea cherry chevy chicago chicken china chloe " +
	"chocolate christ christmas church ciao cisco cobra coding coffee company computer contrasena contrasenha " +
	"cookie cookies correcthorse correcthorsebatterystaple corrects corvette cougar counterstrike cowboys " +
	"cricket crypto cutie cyber cycling dad daddy daisy dallas dance dancer dancing daniel darling database " +
	"david debian december default demo demon denver destroyer developer devil diablo diamond digital disco " +
	"docker doggie doggy dollar dolphin donald dortmund dragon drums ducati eagle eagles earth easter elizabeth " +
	"email eminem empty england english enter example facebook faith falcon fall family father february ferrari " +
	"fighter florida flower flowers football ford forest forever fortnite fortune france freedom friday friend " +
	"friends frodo froggy fuck fuckme fuckoff fuckyou galaxy gamer gaming gandalf garden gatehouse gateway " +
	"geheim george germany ghost ginger github gitlab god goku gold golden golf google google1 gorgeous grace " +
	"green guest guitar gymnast hack hacker hacking hallo halloween halo hamster handsome hannah happiness happy " +
	"harley harleydavidson harrypotter haslo hawk heather heaven hello helpdesk hero heslo hobbit hockey " +
	"hogwarts hola holiday honda honey hope horse horsebattery hottie houston hulk hunter hurricane husband " +
	"identity iloveu iloveyou in india info initial instagram install internet ireland ironman italia jack " +
	"jackpot jackson jaguar james january japan jasmine jason java javascript jedi jelszo jennifer jessica jesus " +
	"john jordan joseph joshua july june justin juventus kawasaki keeper kennwort kevin keyboard killer king " +
	"kingdom kitten kitty lakers laptop laura legend lemon leopard letme letmein liberty lightning lily linux " +
	"lion liverpool lkjhgfdsa lmao login logon lol london losenord love lovely loveme lover lovers loveyou " +
	"lozinka lucky macos madrid maggie magic magician mail manager manchester mango march maria marina mario " +
	"martin marvel master matrix matthew maxwell may me melissa melon mercedes metal metallica mexico michael " +
	"michelle milan minecraft mnbvcxz molly mom mommy monday money monitor monkey monkey1 moon moonlight " +
	"motdepasse mother mountain mouse music musica mustang mylove myspace mysql mystic naruto natasha nature " +
	"ncc1701 neo netflix network nevermind newyear newyork nicholas nicole ninja nintendo nirvana none nopass " +
	"nopassword nothing november null ocean october office oliver open opensesame operator oracle orange oscar " +
	"overwatch p@ssw0rd packers panther paris parola parool party pass pass123 passcode passord passphrase passw " +
	"passw0rd passwd password password1 passwort patricia patrick patriots peace peanut penguin pepper peter " +
	"phoenix piano pikachu pink pirate planet platinum player playstation please poiuytrewq pokemon poker pony " +
	"porsche postgres power powerful prayer predator pretty prince princess private program puppy purple python " +
	"q1w2e3r4 q1w2e3r4t5 qazwsx qazwsxedc queen qwe123 qweasd qweasdzxc qwer1234 qwerty qwertyuiop qwertz " +
	"qwertzuiop rabbit rachel racing raiders rain rainbow ranger rangers realmadrid rebecca rebel red redis " +
	"redsox rich richard river robert roblox rock rocknroll rockstar rocky rome root rose router rugby runner " +
	"russia salasana samantha sample samurai sandra sarah satan saturday scorpion scotland secret secrets senha " +
	"september server service sesame setup sexy shadow shark shit sifre signin silver sister skiing sky " +
	"skywalker slipknot smile smiley snake snow soccer software soldier sonic sophie spain spider spiderman " +
	"spring staple star starcraft starlight stars startrek starwars steelers stephanie steven storm strawberry " +
	"strong sugar summer sun sunday sunny sunrise sunset sunshine superman superuser support suzuki sweet " +
	"sweetheart sweetie swimming switch sysadmin system temp temporary temppass tennis terminator test tester " +
	"testing texas thomas thor thunder thursday thx1138 tiger tokyo toyota treasure trinity truck trump trustme " +
	"trustno trustnoone tuesday turtle twitter tyler ubuntu undefined unicorn united universe user username " +
	"vacation vader vampire verify victoria victory violet viper vodka volleyball wachtwoord warcraft warrior " +
	"wasd webmail wednesday welcome welkom whale whatever whatsup whiskey white wife wifi william willkommen " +
	"windows winner winter wireless wizard wolf wonderwoman world wrestling xbox yamaha yankees yellow yoda " +
	"youtube yxcvbnm zaq12wsx zelda zombie zxcvbn zxcvbnm zzzzzz "
